"""scripts/merge_lora.py, with adapters trained on what transformers saved."""

import json
import os

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

import eval_model
import train_lora
from dataset.rendering import ChatRenderer
from model.errors import SproutError
from model.files.adapters import open_lora, save_lora
from model.files.checkpoint import save_weights
from model.files.hf_export import export_folder
from model.files.loading import load_model
from model.fingerprint import fingerprint
from model.lora import Lora, add_lora
from model.text.chat_template import template_of, with_chat_template
from model.text.extend_bpe import extend
from model.text.tokenizer import Tokenizer
from scripts.merge_lora import main
from tests.stages.workshop import SHAPE, SIZE, Workshop
from tests.support import random_network
from tests.training.support import SMALL
from training.engine.output import Output
from training.stages.arguments import run_main

os.environ["HF_HUB_OFFLINE"] = "1"
TOKENS = torch.arange(3, 19)[None]


def logits(model):
    with torch.no_grad():
        result = model.eval()(TOKENS)
    return getattr(result, "logits", result)


@pytest.fixture(scope="module", params=[LlamaConfig, Qwen2Config, Qwen3Config], ids=lambda kind: kind.model_type)
def trained(request, tmp_path_factory):
    """A folder with a network that transformers saved in `hf`, and adapters on it in out/lora."""
    folder = tmp_path_factory.mktemp(request.param.model_type)
    workshop = Workshop.create(folder, "full_sft")
    tokenizer = Tokenizer.load(folder / "tokenizer")
    torch.manual_seed(0)
    config = request.param(vocab_size=tokenizer.vocab_size, max_position_embeddings=64, head_dim=16, **SHAPE)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder / "hf")
    tokenizer.save(folder / "hf")
    words = ("--max_steps=3", "--warmup_steps=0", "--learning_rate=0.05", "--from_weight", str(folder / "hf"))
    train_lora.main(workshop.command("out", *words, "--lora_name", "medic"))
    return folder


@pytest.fixture
def expected(trained):
    """The logits of the network with its adapters."""
    loaded = load_model(trained / "hf")
    before = logits(loaded.model)
    open_lora(trained / "out" / "lora" / f"medic_{SIZE}.pth").attach(loaded.model)
    after = logits(loaded.model)
    assert (after - before).abs().max() > 1e-2  # or a comparison would say nothing
    return after


def test_the_merged_weight_is_network_and_adapters_and_exports(trained, expected, tmp_path):
    main(["--lora", "medic", "--out_dir", str(trained / "out"), "--weight_name", "one"])
    merged = load_model(trained / "out" / f"one_{SIZE}.pth")
    torch.testing.assert_close(logits(merged.model), expected, rtol=0, atol=1e-5)
    assert ChatRenderer(merged.tokenizer).replaced is None  # its template is the one that the adapters learned with
    export_folder(tmp_path / "hf", merged.model, merged.tokenizer)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    torch.testing.assert_close(logits(theirs), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("imported", [False, True])
def test_the_merged_weight_knows_how_far_its_network_has_read_and_where_it_comes_from(
    tmp_path, small_tokenizer, imported
):
    model = random_network(SMALL.replace(vocab_size=small_tokenizer.vocab_size, max_position_embeddings=32768))
    path, facts = tmp_path / "short_32.pth", {"arguments": {"max_seq_len": 48}, "imported": imported}
    save_weights(path, model, small_tokenizer, stage="full_sft", facts=facts)
    add_lora(model, Lora(4, 8.0, base=fingerprint(model), base_path=str(path)))
    save_lora(tmp_path / "lora" / "medic_32.pth", model, stage="dpo")
    main(["--lora", "medic", "--lora_scale", "0.5", "--out_dir", str(tmp_path)])
    merged = load_model(tmp_path / "merged_32.pth")
    assert merged.trained_positions == (32768 if imported else 48)  # of others' networks nobody knows it
    assert (merged.stage, merged.imported, merged.facts["lora_scale"]) == ("dpo", imported, 0.5)


@pytest.fixture
def with_adapters(tmp_path, small_tokenizer):
    """A folder with a network and adapters on it."""
    model, path = (
        random_network(SMALL.replace(vocab_size=small_tokenizer.vocab_size)),
        tmp_path / "out" / "short_32.pth",
    )
    save_weights(path, model, small_tokenizer, stage="full_sft", facts={})
    add_lora(model, Lora(4, 8.0, base=fingerprint(model), base_path=str(path)))
    save_lora(tmp_path / "out" / "lora" / "medic_32.pth", model, stage="lora")
    return tmp_path / "out"


def test_the_next_command_can_be_pasted(with_adapters, monkeypatch, capsys):
    monkeypatch.chdir(with_adapters.parent)
    main(["--lora", "medic", "--weight_name", "m m"])
    said = capsys.readouterr().out
    assert f"next: python {eval_model.__file__} --model_mode 1 --weight_path 'out/m m_32.pth'" in said


def test_the_base_written_for_peft_is_the_network_where_its_file_has_several_types(tmp_path, small_tokenizer):
    model = random_network(SMALL.replace(vocab_size=small_tokenizer.vocab_size)).half()
    model.model.norm.weight.data = torch.full((32,), 1.0001)  # as GGUF keeps norms in float32
    save_weights(path := tmp_path / "mixed_32.pth", model, small_tokenizer, stage="full_sft", facts={})
    base = fingerprint(model := load_model(path).model)
    add_lora(model, Lora(4, 8.0, base=base, base_path=str(path)))
    save_lora(tmp_path / "lora" / "medic_32.pth", model, stage="lora")
    main(["--lora", "medic", "--out_dir", str(tmp_path), "--peft", str(tmp_path / "peft")])
    assert fingerprint(load_model(tmp_path / "peft_base").model) == base


def test_the_base_written_for_peft_has_template_ends_and_precision_of_the_network(tmp_path, small_tokenizer):
    """Its turns end with a token of their own, as those of an imported network that was trained on here."""
    turn = "{{ '<|im_start|>' + message.role + '\n' + message.content + '</tool_call>\n' }}"
    opens = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    tokenizer = with_chat_template(small_tokenizer, "{% for message in messages %}" + turn + "{% endfor %}" + opens)
    end = tokenizer.vocab["</tool_call>"]
    for number, (one, ends, writes) in enumerate(
        ((tokenizer, end, "</tool_call>"), (small_tokenizer, 2, "<|im_end|>"))
    ):
        model = random_network(SMALL.replace(vocab_size=one.vocab_size)).half()
        save_weights(path := tmp_path / f"half{number}_32.pth", model, one, stage="full_sft", facts={})
        add_lora(model := load_model(path).model, Lora(4, 8.0, base=fingerprint(model), base_path=str(path)))
        save_lora(tmp_path / "lora" / f"medic{number}_32.pth", model, stage="lora")
        main(["--lora", f"medic{number}", "--out_dir", str(tmp_path), "--peft", str(tmp_path / f"peft{number}")])
        base = tmp_path / f"peft{number}_base"
        assert ends in json.loads((base / "generation_config.json").read_text())["eos_token_id"]
        assert json.loads((base / "config.json").read_text())["dtype"] == "float16"
        assert writes in template_of(Tokenizer.load(base))


def test_nothing_is_written_where_a_target_cannot_be(with_adapters, tmp_path, capsys):
    words = ["--lora", "medic", "--out_dir", str(with_adapters)]
    (tmp_path / "zh.jsonl").write_text("{}")
    code, said = fails([*words, "--peft", str(tmp_path / "zh.jsonl")], capsys)
    assert code == 1 and "zh.jsonl is a file" in said
    code, said = fails([*words, "--peft", str(tmp_path / "peft"), "--lora_scale", "0"], capsys)
    assert code == 2 and "--lora_scale 0 leaves nothing" in said  # what it wrote could not be opened
    main([*words, "--weight_name", "taken"])
    code, said = fails([*words, "--peft", str(tmp_path / "peft"), "--weight_name", "taken"], capsys)
    assert code == 1 and "taken_32.pth is there already" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "zh.jsonl"]


def test_a_second_command_at_the_same_time_leaves_the_first_ones_file_alone(with_adapters, monkeypatch, capsys):
    """Both have seen that there is no such file; the second waits for nothing and takes nothing's place."""
    path, honest = with_adapters / "merged_32.pth", Output.claim

    def claimed(output):
        path.write_bytes(b"of the first")
        honest(output)

    monkeypatch.setattr(Output, "claim", claimed)
    with pytest.raises(SproutError, match="merged_32.pth is there already: choose another --weight_name"):
        main(["--lora", "medic", "--out_dir", str(with_adapters)])
    assert path.read_bytes() == b"of the first" and not list(with_adapters.glob("*.previous.pth"))


def test_half_of_the_adapters_is_half_way(trained, tmp_path, capsys):
    """In the merged weight, in peft's folder, and in eval_model.py."""
    base = load_model(trained / "hf").model.state_dict()
    words = ["--lora", "medic", "--out_dir", str(trained / "out"), "--lora_scale"]
    main([*words, "1", "--weight_name", "whole"])
    main([*words, "0.5", "--weight_name", "half", "--peft", str(tmp_path / "half")])
    whole, half = (load_model(trained / "out" / f"{name}_{SIZE}.pth").model.state_dict() for name in ("whole", "half"))
    assert any((whole[name] - weight).abs().max() > 1e-3 for name, weight in base.items())
    for name, weight in base.items():
        torch.testing.assert_close(half[name], (weight + whole[name]) / 2, rtol=0, atol=1e-6)
    assert json.loads((tmp_path / "half" / "adapter_config.json").read_text())["lora_alpha"] == 16

    def score(*words):
        capsys.readouterr()
        eval_model.main(["--model_mode=1", f"--data_path={trained / 'chat_a.jsonl'}", "--json", "--device=cpu", *words])
        return json.loads(capsys.readouterr().out)

    at_half = score(f"--out_dir={trained / 'out'}", "--lora=medic", "--lora_scale=0.5")
    of_half = score(f"--weight_path={trained / 'out' / f'half_{SIZE}.pth'}")
    assert at_half["loss"] == pytest.approx(of_half["loss"], rel=1e-5) and at_half["lora_scale"] == 0.5


def test_the_printed_lines_open_what_was_written_for_peft(trained, expected, tmp_path, capsys):
    pytest.importorskip("peft", reason="peft is not installed (pip install -e '.[test]')")
    main(["--lora", "medic", "--out_dir", str(trained / "out"), "--peft", str(tmp_path / "peft")])
    said = capsys.readouterr().out
    assert not (trained / "out" / f"merged_{SIZE}.pth").exists()
    names: dict = {}
    exec(said[said.index("from peft") :], names)
    torch.testing.assert_close(logits(names["model"]), expected, rtol=0, atol=1e-5)
    # And the folder is merged as our own file is, with the network it names.
    main(["--lora", str(tmp_path / "peft"), "--out_dir", str(tmp_path), "--weight_name", "back"])
    torch.testing.assert_close(logits(load_model(tmp_path / f"back_{SIZE}.pth").model), expected, rtol=0, atol=1e-5)


def test_the_template_that_adapters_learned_with_is_beside_them(trained, tmp_path, capsys):
    """Where the network they belong to is a folder without it: the tokenizer in `hf` has another one."""
    pytest.importorskip("peft", reason="peft is not installed (pip install -e '.[test]')")
    loaded = load_model(trained / "hf")
    renderer = ChatRenderer(loaded.tokenizer)
    assert renderer.replaced
    words = ["--lora", "medic", "--out_dir", str(trained / "out"), "--peft", str(tmp_path / "peft")]
    for _ in range(2):  # the second replaces the first
        main(words)
    names: dict = {}
    said = capsys.readouterr().out
    exec(said[said.rindex("from peft") :], names)
    chat = [{"role": "user", "content": "1 + 1"}]
    ids = names["tokenizer"].apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    assert ids == renderer.prompt(chat)
    assert open_lora(tmp_path / "peft").lora.rank == open_lora(trained / "out" / "lora" / f"medic_{SIZE}.pth").lora.rank


def test_the_base_of_adapters_on_more_tokens_has_them(trained, tmp_path, capsys):
    pytest.importorskip("peft", reason="peft is not installed (pip install -e '.[test]')")
    from peft import AutoPeftModelForCausalLM

    extend(Tokenizer.load(trained / "hf"), ["Sprout grows, Sprout grows"] * 3, 2, 16).save(tmp_path / "more")
    more = ["--tokenizer_path", str(tmp_path / "more")]
    workshop = Workshop(trained, "full_sft")
    words = ("--max_steps=1", "--from_weight", str(trained / "hf"), *more, "--lora_name", "more")
    train_lora.main(workshop.command("out", *words))
    code, said = fails(["--lora", "more", "--out_dir", str(trained / "out"), "--weight_name", "never"], capsys)
    assert code == 1 and said.endswith(f"give the one it belongs to, with {' '.join(more)} as in training")
    main(["--lora", "more", "--out_dir", str(trained / "out"), *more, "--peft", str(tmp_path / "peft")])
    assert str(tmp_path / "peft_base") in capsys.readouterr().out
    theirs = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "peft")  # by the name of its base
    loaded = load_model(trained / "hf", tokenizer_path=tmp_path / "more")
    assert theirs.get_input_embeddings().weight.shape[0] == loaded.tokenizer.vocab_size
    open_lora(trained / "out" / "lora" / f"more_{SIZE}.pth").attach(loaded.model)
    torch.testing.assert_close(logits(theirs), logits(loaded.model), rtol=0, atol=1e-5)
    # The folders alone are enough to go on from.
    main(["--lora", str(tmp_path / "peft"), "--out_dir", str(tmp_path), "--weight_name", "back"])
    assert load_model(tmp_path / f"back_{SIZE}.pth").tokenizer.vocab_size == loaded.tokenizer.vocab_size


def fails(arguments, capsys) -> tuple[int, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        run_main(lambda: main(arguments))
    # What is noted of the folder's tokenizer comes before.
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return stopped.value.code, lines[0]


def test_errors_are_one_sentence_and_nothing_is_overwritten(trained, tmp_path, capsys):
    out = ["--out_dir", str(trained / "out")]
    lora = trained / "out" / "lora" / f"medic_{SIZE}.pth"
    assert fails(["--lora", "nobody", *out], capsys)[0] == 2
    code, said = fails(["--lora", "medic", *out, "--from_weight", str(trained / "start.pth")], capsys)
    assert code == 1 and "was trained on another network" in said and str(trained / "hf") in said
    main(["--lora", "medic", *out])
    before = (trained / "out" / f"merged_{SIZE}.pth").read_bytes()
    code, said = fails(["--lora", "medic", *out], capsys)
    assert code == 1 and "is there already" in said
    assert (trained / "out" / f"merged_{SIZE}.pth").read_bytes() == before
    (trained / "out" / f"merged_{SIZE}.pth").unlink()
    (trained / "hf").rename(trained / "moved")
    try:
        code, said = fails(["--lora", str(lora), *out], capsys)
    finally:
        (trained / "moved").rename(trained / "hf")
    assert code == 2 and "which is not here: give that network by --from_weight" in said
