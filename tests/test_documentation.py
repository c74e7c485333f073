"""Every command that README and docs show is run, at tiny size: with one thin layer, two steps and small files.

A command that cannot be run here is on the list `NOT_RUN` with the reason.
"""

import importlib
import json
import os
import re
import shlex
from functools import partial
from pathlib import Path

import pyarrow.parquet
import pytest
import torch
from torch.distributed.fsdp import FSDPModule
from torch.distributed.run import get_args_parser

from model.config import PRESETS
from model.files.adapters import save_lora
from model.files.checkpoint import save_weights
from model.files.hf_export import export_folder
from model.files.peft import write_peft_folder
from model.fingerprint import fingerprint
from model.gpt2 import GPT2, GPT2Config
from model.lora import Lora, add_lora
from model.reward import RewardModel
from model.rope_scaling import extended
from model.text.extend_bpe import extend
from model.text.tokenizer import Tokenizer
from model.transformer import Transformer
from tests.faults.processes import Running, together
from tests.stages.workshop import write_chats, write_pairs, write_scored, write_texts, write_thoughts

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "README_zh.md", *sorted((ROOT / "docs").glob("*.md"))]

NOT_RUN = {
    r"pip install": "what .ci/run does before the tests",
    r"pytest": "this is it",
    r"(cd|git) ": "no command of ours",
    r"python scripts/quickstart.py$": "tests/scripts/test_quickstart.py goes the whole way",
    r"tensorboard ": "a server, and not ours",
    r"([A-Z_]+=\S+ )?(trackio |python train_.* --tracker )": "needs a package; test_trackers.py runs them",
    r"python scripts/serve.py": "goes on until Ctrl-C; tests/scripts/test_serve.py and tests/inference/server use it",
    r"python (scripts/make_pairs.py|train_dpo.py --data_path out/pairs)": "needs a network that is right sometimes",
    r"python scripts/self_instruct.py": "asks a server, or a network that can invent tasks",
    r"(curl|OPENAI_API_BASE_URL=|lm_eval) ?": "asks a server that runs; tests/inference/server asks one",
    r"pip download|python .*smollm2": "a network from PyPI",
    r"python scripts/benchmark.py (train|sft|learn|gpu|prepare|scale) ": "compares runs of their own size, for hours",
    r"python scripts/benchmark.py harness ": "needs lm-eval, which brings 340 MB",
    r"python scripts/benchmark.py duplicates ": "needs datasketch, which brings scipy",
    r"python eval_model.py .*--out_dir out/quickstart ": "asks a network of scripts/quickstart.py --full",
    r"python train_tokenizer.py --out_dir model/": "would replace the shipped tokenizer",
}

COMMANDS = {"scripts.benchmark": "scripts.benchmark.command"}  # where a script's `main` is, if not in it

# What is added to make a command small; of a flag given twice, the last counts.
RUN = "--max_seq_len 64 --batch_size 2 --accumulation_steps 1 --max_steps 2 --compile off --device cpu"
TINY = {
    "train_pretrain": RUN,
    "train_full_sft": RUN,
    "train_lora": RUN,
    "train_dpo": RUN,
    "train_reason": RUN,
    "train_reward": RUN,
    "train_distill": RUN,
    "train_grpo": f"{RUN} --max_seq_len 800 --max_new_tokens 4 --group_size 2 --eval_interval 0",  # a tool takes 460
    "train_ppo": f"{RUN} --max_new_tokens 4 --mini_batches 1 --inner_epochs 1 --eval_interval 0",
    "train_tokenizer": "--vocab_size 300",
    "scripts.prepare": "--processes 1 --rules none",
    "eval_model": "--max_new_tokens 3 --device cpu",
    "scripts.score": "--device cpu",
    "scripts.loss_by_position": "--max_seq_len 8 --device cpu",
    "scripts.benchmark": "--megabytes 1",
    "scripts.benchmark_model": "--max_new_tokens 2 --device cpu",
}
THIN = "--num_hidden_layers 1 --intermediate_size 64"  # of a new network

TEXTS = (
    "my_text",
    "a",
    "b",
    "news",
    "stories",
    "new",
    "zh",
    "export",
    "crawl/a",
    "code",
    "out/data/text",
    "out/data/val",
)
CHATS = ("my_chats", "chats", "questions", "instructions")


def fenced_lines(text: str) -> list[str]:
    """The lines of all fenced `bash` blocks."""
    blocks = re.findall(r"^```(?:bash|sh|shell)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return "".join(blocks).replace("\\\n", " ").splitlines()


def commands() -> list[str]:
    """The commands of all fenced `bash` blocks, each once, without comments."""
    found = {}
    for page in PAGES:
        if page.stem.startswith("course"):  # tests/test_course.py runs these in order
            continue
        for line in fenced_lines(page.read_text("utf-8")):
            for part in line.split(" && "):
                words = shlex.split(part, comments=True)
                if words:
                    found[shlex.join(words)] = page.name
    return list(found)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A project folder in which a text and a chat model were trained, and a Hugging Face folder lies about."""
    folder = tmp_path_factory.mktemp("prepared") / "project"
    for name in TEXTS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_texts(folder / f"{name}.jsonl", 60, seed=len(name))
    write_pairs(folder / "my_preferences.jsonl", 30, seed=0)
    write_pairs(folder / "my_labelled_answers.jsonl", 30, seed=1)  # each pair is a good and a bad answer
    write_scored(folder / "my_scores.jsonl", 30, seed=0)
    prompts = ({"question": f"{i} + 1?", "answer": str(i + 1)} for i in range(30))
    (folder / "my_prompts.jsonl").write_text("".join(json.dumps(record) + "\n" for record in prompts))
    write_thoughts(folder / "my_thoughts.jsonl", 30, seed=0)
    (folder / "my_tools.py").write_text('def twice(x: int) -> int:\n    """Doubles a number."""\n    return 2 * x\n')
    asked = "How many apples are {} apples, one apple more, and after that no other?"
    sums = [json.dumps({"question": asked.format(i), "answer": f"#### {i + 1}"}) + "\n" for i in range(3)]
    sentences = json.dumps({"sentence_good": "She sees.", "sentence_bad": "She see."}) + "\n"
    asked = "Which of these four numbers comes first when one counts slowly from one to four?"
    options = json.dumps({"id": 0, "question": asked, "A": "1", "B": "2", "C": "3", "D": "4", "answer": "A"}) + "\n"
    (folder / "blimp.jsonl").write_text(sentences)
    for name in ("gsm8k_test", "gsm8k_train"):
        (folder / f"{name}.jsonl").write_text("".join(sums))
    for name in ("law_val", "law_dev"):
        (folder / f"{name}.jsonl").write_text(options)
    (folder / "notes.txt").write_text("A note of some words.\n")
    (folder / "export.jsonl").rename(folder / "export.json")
    records = [json.loads(line) for line in (folder / "zh.jsonl").read_text(encoding="utf-8").splitlines()]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), folder / "wiki.parquet")
    for name in CHATS:
        write_chats(folder / f"{name}.jsonl", 60, seed=len(name))
    tokenizer = Tokenizer.load()
    config = PRESETS["26m"].replace(vocab_size=tokenizer.vocab_size, num_hidden_layers=1, intermediate_size=64)
    model = Transformer(config)
    short = {"arguments": {"max_seq_len": 16}}  # so that the rows of `RUN` are longer than what a network has read
    for stage in ("pretrain", "full_sft", "dpo", "reason", "distill", "grpo", "ppo"):
        save_weights(folder / "out" / f"{stage}_512.pth", model, tokenizer, stage=stage, facts=short)
    longer = extended(model, 4, 16, "pretrain")
    save_weights(folder / "out" / "longer_512.pth", longer, tokenizer, stage="pretrain", facts=short)
    save_weights(folder / "out" / "reward_512.pth", RewardModel.of(model), tokenizer, stage="reward")
    for name in ("HF_FOLDER", "path/to/hf_folder", "path/to/large_hf_folder", "some/hf_folder"):
        export_folder(folder / name, model, tokenizer)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = GPT2Config(vocab_size=tokenizer.vocab_size, num_key_value_heads=2, max_position_embeddings=64, **sizes)
    gpt2 = GPT2(config, initialize_weights=False)
    for parameter in gpt2.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    export_folder(folder / "path" / "to" / "gpt2", gpt2, tokenizer)
    extend(tokenizer, ["qzqz qzqz"], 2, 16).save(folder / "out" / "longer")
    add_lora(model, Lora(4, 8.0, base=fingerprint(model), base_path="out/full_sft_512.pth"))
    for name, stage in (("medic", "lora"), ("dpo", "dpo")):
        save_lora(folder / "out" / "lora" / f"{name}_512.pth", model, stage=stage)
    write_peft_folder(folder / "some" / "peft_folder", model)
    tokenizer.save(folder / "out" / "tokenizer")
    for name in ("pretrain_512", "full_sft_512"):
        logs = folder / "out" / "logs" / name
        logs.mkdir(parents=True)
        lines = [{"step": step, "loss": 4 + 4 / step, "lr": 1e-3} for step in range(1, 31)]
        (logs / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def project(prepared, tmp_path, monkeypatch) -> Path:
    """A copy of it to work in. Files are only ever replaced, never changed, so links will do."""
    for path in prepared.rglob("*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(prepared.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, copy)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def made_small(module: str, words: list[str]) -> list[str]:
    small = shlex.split(TINY.get(module, ""))
    if module == "train_pretrain" and not {"--from_weight", "--weight_path"} & set(words):
        small += shlex.split(THIN)
    if module == "eval_model" and "--rope_scaling_factor" in words:
        small += ["--max_seq_len", "64"]  # four times what `prepared` networks have read
    if "--extend" in words:
        small = ["--add", "4"]
    return [*words, *small]


@pytest.mark.parametrize("command", commands())
def test_the_command_works(command, project, capsys):
    for pattern, reason in NOT_RUN.items():
        if re.match(pattern, command):
            pytest.skip(reason)
    program, *words = shlex.split(command)
    if "--shard" in words and not hasattr(FSDPModule, "reset_iter_state"):
        pytest.skip("--shard needs torch 2.13")
    if program == "torchrun":  # which tests/stages/test_many_cards.py really starts
        asked = get_args_parser().parse_args(words)
        stage = asked.training_script.removesuffix(".py")
        words = made_small(stage, asked.training_script_args)
        here = partial(os.chdir, project)
        running = [Running(stage, words, here, each) for each in together(int(asked.nproc_per_node))]
        ends = [each.end(240) for each in running]
        assert not any(each.code for each in ends), "".join(each.err for each in ends)
        return
    assert program == "python", f"{command} is not run by this test, nor on the list of what is not"
    script, *words = words[1:] if words[0] == "-m" else words
    module = script.removesuffix(".py").replace("/", ".")
    path = ROOT / module.replace(".", "/")
    assert path.with_suffix(".py").exists() or path.is_dir(), f"there is no {script}"
    words = made_small(module, words)
    main = importlib.import_module(COMMANDS.get(module, module)).main
    if "--resume" in words:  # there must be something to resume
        main([word for word in words if word != "--resume"])
    main(words)
    if "--json" in words:
        json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_pages_show_commands():
    assert len(commands()) > 15


def anchors(page: Path) -> set[str]:
    """What a link may name behind `#`: the headings of a page as GitHub spells them there."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for path, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", page.read_text("utf-8")):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


TWINS = [(page, twin) for page in PAGES if (twin := page.with_name(f"{page.stem}_zh.md")).exists()]
ONLY_CHINESE = {"messages_zh.md"}  # what the scripts say in English


def test_every_page_has_its_twin():
    names = {page.name for page in PAGES}
    assert {f"{name.removesuffix('_zh.md')}.md" for name in names - ONLY_CHINESE if name.endswith("_zh.md")} == {
        name for name in names if not name.endswith("_zh.md")
    }


UNITS = {"k": 1e3, "万": 1e4, "M": 1e6, "million": 1e6, "亿": 1e8, "B": 1e9, "T": 1e12, "万亿": 1e12}


def flags(text: str) -> set[str]:
    return set(re.findall(r"--\w[\w-]*", text, re.ASCII))


def figures(text: str) -> set[float]:
    """The numbers with two digits or a decimal point, however a language writes them: 2,500,000 = 2.5 M = 250 万."""
    number = r"(?<![\w.,])(\d+(?:,\d{3})*(?:\.\d+)?)"
    unit = r"(?: ?多?(万亿|million|[万亿kMBT])(?!\w))?"
    found = re.findall(number + unit, text, re.ASCII)
    values = ((float(digits.replace(",", "")), UNITS.get(unit, 1)) for digits, unit in found)
    return {round(value * scale, 6) for value, scale in values if value * scale >= 10 or value % 1}


def tables(text: str) -> list[set[float]]:
    """The figures of each row of each table."""
    return [figures(row) for row in re.findall(r"^\|.*$", text, re.MULTILINE)]


def command_lines(text: str) -> list[str]:
    """The command lines of all code blocks without comments. A text in quotes may be in the language of the page."""
    indented = r"^ {4}((?:python|torchrun|head|[A-Z]+=).*)$"
    lines = fenced_lines(text) + re.findall(indented, text.replace("\\\n", " "), re.MULTILINE)
    found = [shlex.split(line, comments=True) for line in lines]
    return [" ".join("TEXT" if " " in word or not word.isascii() else word for word in words) for words in found]


@pytest.mark.parametrize("page, twin", TWINS, ids=lambda page: page.name)
def test_the_two_languages_name_the_same_flags_figures_and_commands(page, twin):
    """A reader of either language learns the same: only the prose may differ."""
    english, chinese = page.read_text("utf-8"), twin.read_text("utf-8")
    assert flags(english) ^ flags(chinese) == set()
    assert figures(english) ^ figures(chinese) == set()
    assert tables(english) == tables(chinese)
    assert command_lines(english) == command_lines(chinese)


ARCHITECTURE = {
    name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("architecture.md", "architecture_zh.md")
}
NAMED_IN = {
    "architecture.md": r"(?P<names>(?:`[\w.]+`(?:, )?)+)\s+in\s+`(?P<path>[\w/]+\.py)`",
    "architecture_zh.md": r"`(?P<path>[\w/]+\.py)` 里的 (?P<names>(?:`[\w.]+`、?)+)",
}


@pytest.mark.parametrize("page", ARCHITECTURE)
def test_the_page_on_architecture_names_paths_that_exist(page):
    paths = set(re.findall(r"`([\w/]+(?:\.py|/))`", ARCHITECTURE[page]))
    assert len(paths) > 50 and not [path for path in paths if not (ROOT / path).exists()]


@pytest.mark.parametrize("page", ARCHITECTURE)
def test_the_page_on_architecture_names_functions_that_are_in_these_files(page):
    missing, found = [], 0
    for match in re.finditer(NAMED_IN[page], ARCHITECTURE[page]):
        source = (ROOT / match["path"]).read_text(encoding="utf-8")
        for name in (part for dotted in re.findall(r"[\w.]+", match["names"]) for part in dotted.split(".")):
            found += 1
            if not re.search(rf"^ *(def|class) {name}\b|^{name}\b.* = ", source, re.MULTILINE):
                missing.append(f"{name} in {match['path']}")
    assert found > 25 and not missing
