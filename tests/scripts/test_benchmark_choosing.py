"""scripts/benchmark/choosing.py: each run differs from the others in what its table varies, and is made once."""

import re

import pytest

from model.config import PRESETS
from model.errors import UsageError
from model.files.checkpoint import save_weights
from model.text.tokenizer import Tokenizer
from model.transformer import Transformer
from scripts.benchmark import choosing, command
from scripts.benchmark.choosing import FineTuning, NewName, Outcome, Pretraining, some_lines, table
from tests.stages.workshop import write_chats, write_texts

SMALL = "--max_seq_len 64 --batch_size 2 --accumulation_steps 1 --max_steps 2 --compile off --device cpu"


@pytest.fixture
def quickstart(tmp_path):
    """What the benchmark needs of the quickstart's folder, with a thin network and few data."""
    folder = tmp_path / "quickstart"
    (folder / "sample").mkdir(parents=True)
    write_texts(folder / "sample" / "pretrain.jsonl", 40, seed=0)
    write_chats(folder / "sample" / "sft.jsonl", 40, seed=0)
    (folder / "sample" / "questions.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}\n')
    (folder / "quickstart.json").write_text('{"fine-tuning": ["ended", "train_full_sft.py", "--seed", "5"]}')
    (folder / "questions_after.json").write_text('{"accuracy": 0.75}')
    logs = folder / "logs" / "full_sft_256"
    logs.mkdir(parents=True)
    (logs / "metrics.jsonl").write_text('{"step": 1}\n{"step": 339, "val_loss": 0.0421}\n')
    (logs / "run.json").write_text('{"parameters": 1000}')
    tokenizer = Tokenizer.load()
    tokenizer.save(folder / "tokenizer")
    config = PRESETS["tiny"].replace(vocab_size=tokenizer.vocab_size, num_hidden_layers=1, intermediate_size=64)
    save_weights(folder / "pretrain_256.pth", Transformer(config), tokenizer, stage="pretrain")
    return folder


@pytest.mark.usefixtures("in_this_process")
def test_the_runs_of_a_table_are_made_once(quickstart, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(choosing, "FINE_TUNING", SMALL)
    monkeypatch.setattr(choosing, "PRETRAINING", f"--preset tiny --num_hidden_layers 1 {SMALL}")
    monkeypatch.setattr(choosing, "HELD_OUT_TEXTS", 10)
    monkeypatch.setitem(choosing.PARTS, "data", [FineTuning(share=0.5, epochs=1), choosing.USUAL])
    monkeypatch.setitem(choosing.PARTS, "sizes", [Pretraining(128, 1)])
    words = ["choosing", "--data_path", str(quickstart), "--out_dir", str(tmp_path / "out"), "--only", "data", "sizes"]
    command.main(words)
    printed = capsys.readouterr().out
    assert printed.count("python train_full_sft.py") == 1 and "--epochs 1 --learning_rate 0.001" in printed
    assert "| 50 % | 1 | 0.001 | 2 |" in printed and "| 100 % | 3 | 0.001 | 339 | 75.0 % | 75.0 % |" in printed
    assert re.search(r"\| 128 \| [\d,]+ \| 1 \| 2 \| [\d.]+ \| [\d.]+ \|", printed)
    out = tmp_path / "out" / "choosing" / "seed5"
    assert len((out / "sft_0.5.jsonl").read_text().splitlines()) == 20
    assert not list(out.glob("*_resume*"))

    monkeypatch.setattr(choosing, "perform", lambda *_: pytest.fail("it was there"))
    command.main(words)
    tables = [line for line in printed.splitlines() if line.startswith("|")]
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")] == tables


@pytest.mark.usefixtures("in_this_process")
def test_another_name_is_taught_to_adapters_and_to_the_whole_network(quickstart, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(choosing, "TEACHING_A_NAME", f"{SMALL} --val_ratio 0")
    monkeypatch.setitem(choosing.PARTS, "lora", [NewName(True, 0.001), NewName(False, 0.0005)])
    write_chats(quickstart / "sample" / "identity.jsonl", 20, seed=1)
    (quickstart / "sample" / "identity_heldout.jsonl").write_text('{"question": "Who are you?", "answer": "Sprout"}\n')
    (quickstart / "pretrain_256.pth").rename(quickstart / "full_sft_256.pth")
    command.main(["choosing", "--data_path", str(quickstart), "--out_dir", str(tmp_path / "out"), "--only", "lora"])
    printed = capsys.readouterr().out
    assert "| LoRA, AdamW | 0.001 | 2 | 0.0 % | 0.0 % | 0.0 % | 0.0 % |" in printed
    assert "| all, Muon | 0.0005 | 2 |" in printed and "identity.jsonl:0.25" in printed


def test_a_share_of_the_lines_is_the_same_each_time_and_holds_none_that_is_held_out(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text("".join(f"{number}\n" for number in range(100)))
    chosen, held_out = (path.read_text().split() for path in some_lines(file, 0.25, tmp_path, 10))
    assert len(set(chosen)) == 25 and len(set(held_out)) == 10 and not {*chosen} & {*held_out}
    smaller = some_lines(file, 0.1, tmp_path, 10)[0].read_text().split()
    assert smaller == chosen[:10]
    assert some_lines(file, 1, tmp_path) == (file, None)


def test_a_table_has_a_column_for_each_seed_and_their_mean():
    recipes = [FineTuning(epochs=1), FineTuning(epochs=9, rate=0.0003)]
    outcomes = {
        (recipe, seed): Outcome(113 * recipe.epochs, loss=0.1 * seed, right=0.5 + 0.1 * seed)
        for recipe in recipes
        for seed in (1, 2)
    }
    assert table(recipes, [1, 2], outcomes)[0].startswith("| conversations | epochs | rate | steps | right, seed 1 |")
    assert table(recipes, [1, 2], outcomes)[2:] == [
        "| 100 % | 1 | 0.001 | 113 | 60.0 % | 70.0 % | 65.0 % | 0.100 | 0.200 | 0.150 |",
        "| 100 % | 9 | 0.0003 | 1,017 | 60.0 % | 70.0 % | 65.0 % | 0.100 | 0.200 | 0.150 |",
    ]
    shares = [FineTuning(share=0.05), FineTuning()]  # each validates on conversations of its own share
    outcomes = {(recipe, 1): Outcome(17, loss=0.5, right=0.25) for recipe in shares}
    assert table(shares, [1], outcomes)[2] == "| 5 % | 3 | 0.001 | 17 | 25.0 % | 25.0 % |"


def test_another_width_keeps_the_shape_of_the_preset():
    tiny, words = PRESETS["tiny"], Pretraining(256, 1).shape.split()
    sizes = {flag.removeprefix("--"): int(size) for flag, size in zip(words[::2], words[1::2])}
    assert all(getattr(tiny, name) == size for name, size in sizes.items()) and len(sizes) == 4


def test_what_is_unknown_is_refused(tmp_path, quickstart):
    with pytest.raises(UsageError, match="the parts of choosing are data, rates, sizes, lora"):
        command.main(["choosing", "--data_path", str(quickstart), "--only", "weather"])
    (quickstart / "questions_after.json").unlink()
    with pytest.raises(UsageError, match="not the folder of a finished quickstart: make one with python scripts/q"):
        command.main(["choosing", "--data_path", str(quickstart), "--only", "data"])
    (quickstart / "quickstart.json").unlink()
    with pytest.raises(UsageError, match="not the folder of a finished quickstart"):
        command.main(["choosing", "--data_path", str(quickstart)])
