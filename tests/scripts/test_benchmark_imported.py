"""scripts/benchmark/imported.py: every stage runs once at each of its rates."""

import re
from dataclasses import replace

import pytest

from model.config import PRESETS
from model.errors import UsageError
from model.files.checkpoint import save_weights
from model.text.tokenizer import Tokenizer
from model.transformer import Transformer
from scripts.benchmark import command, imported
from scripts.benchmark.imported import divided
from tests.stages.workshop import write_chats, write_pairs, write_texts


@pytest.fixture
def words(tmp_path, monkeypatch):
    """A command line over a thin network and few data."""
    small = "--max_seq_len 64 --accumulation_steps 1 --eval_interval 100 --sample_interval 0"
    monkeypatch.setattr(imported, "ROWS", f"{small} --device cpu")
    monkeypatch.setattr(imported, "STEPS", "--max_steps 2 --compile off")
    monkeypatch.setattr(imported, "HELD_OUT", 4)
    for name, sweep in imported.SWEEPS.items():
        monkeypatch.setitem(imported.SWEEPS, name, replace(sweep, rates=sweep.rates[-1:]))
    tokenizer = Tokenizer.load()
    config = PRESETS["tiny"].replace(vocab_size=tokenizer.vocab_size, num_hidden_layers=1, intermediate_size=64)
    save_weights(tmp_path / "net.pth", Transformer(config), tokenizer, stage="full_sft")
    write_chats(tmp_path / "chats.jsonl", 30, seed=0)
    write_pairs(tmp_path / "pairs.jsonl", 30, seed=0)
    write_texts(tmp_path / "texts.jsonl", 30, seed=0)
    files = [str(tmp_path / f"{name}.jsonl") for name in ("chats", "pairs", "texts")]
    given = ["--weight_path", str(tmp_path / "net.pth"), "--out_dir", str(tmp_path / "out")]
    return ["imported", *given, "--data_path", *files]


@pytest.mark.usefixtures("in_this_process")
def test_each_rate_is_run_once_and_has_a_row(words, capsys, monkeypatch):
    command.main([*words, "--only", "lora", "dpo"])
    printed = capsys.readouterr().out
    assert printed.count("python train_lora.py") == printed.count("python train_dpo.py") == 1
    table = [line for line in printed.splitlines() if line.startswith("|")]
    number = r"\d+\.\d{3}"
    assert re.fullmatch(rf"\| as it came \|  \| {number} \|  \| {number} \|", table[2])
    assert re.fullmatch(rf"\| LoRA, AdamW \| 0\.001 \| {number} \|  \| {number} \|", table[3])
    assert re.fullmatch(rf"\| DPO, AdamW \| 5e-05 \| {number} \| \d+ %, {number} \| {number} \|", table[4])
    assert table[2].split("|")[3] != table[3].split("|")[3], "the rate changes nothing"

    monkeypatch.setattr("scripts.benchmark.choosing.perform", lambda *_: pytest.fail("it was there"))
    command.main([*words, "--only", "lora", "dpo"])
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")] == table


def test_no_line_is_both_trained_on_and_held_out(tmp_path, monkeypatch):
    monkeypatch.setattr(imported, "HELD_OUT", 10)
    file = tmp_path / "a.jsonl"
    file.write_text("".join(f"{number}\n" for number in range(100)))
    train, held_out = (path.read_text().split() for path in divided(file, tmp_path))
    assert len(train) == 90 and len(held_out) == 10 and {*train, *held_out} == {*map(str, range(100))}


def test_what_is_missing_is_named(words):
    with pytest.raises(UsageError, match="the stages of imported are sft, lora, dpo"):
        command.main([*words, "--only", "ppo"])
    with pytest.raises(UsageError, match="three files: --data_path CONVERSATIONS PAIRS TEXTS"):
        command.main(words[:-1])
