"""Hostile data files: each gives one sentence with file, line, reason and what to do, whoever reads it."""

import subprocess
import sys

import pytest

from tests.faults.hostile_files import CHATS, KIND, SHAPE, TEXT, TEXTS, Hostile
from tests.faults.scripts import ROOT, python
from tests.stages.workshop import Workshop

ROWS = [
    pytest.param(row, kind, id=row.name) for kind, rows in (("pretrain", TEXTS), ("full_sft", CHATS)) for row in rows
]


def readers(folder, path) -> dict[str, list]:
    """The command line of every script that reads data, for this file. Those that would work end after a step."""
    weight = ["--weight_path", folder / "start.pth", "--device", "cpu", "--data_path", path]
    return {
        **{
            f"train_{stage}.py": Workshop(folder, stage).command("out", "--dry_run", data=(path,))
            for stage in ("pretrain", "full_sft")
        },
        "train_tokenizer.py": ["--vocab_size", "280", "--out_dir", path.parent / "tokenizer", "--data_path", path],
        "dataset.preview": [path],
        "eval_model.py": weight,
        "eval_model.py --answers": [*weight, "--answers", "--max_new_tokens", "2"],
    }


def test_there_are_enough():
    assert len({row.values[0].name for row in ROWS}) == len(ROWS) >= 120


@pytest.mark.parametrize("row, stage", ROWS)
def test_training_says_where_and_why_and_what_to_do(folder, tmp_path, row: Hostile, stage):
    path = row.make(tmp_path)
    ended = python(f"train_{stage}.py", *Workshop(folder, stage).command("out", data=(path,)))
    sentence = ended.sentence
    assert ended.code == row.code and row.words in sentence and ended.err.count("\n") == 1
    assert str(path) in sentence
    if row.line is not None:
        assert sentence.startswith(f"{path}:{row.line}: ")
        advice = "is the file whole" if path.suffix == ".parquet" and "parquet" in row.words else "--on_bad_line skip"
        if (SHAPE in sentence or KIND in sentence) and row.line == 1:
            advice = "give another file"
        no_lines = ("not a text file", "not a data file", "iconv")  # there is no line to skip
        whole = row.line == 1 and any(words in sentence for words in no_lines)
        assert (advice in sentence) != whole
    assert len(sentence) < 1200 + len(str(path))
    assert not [left for left in (folder / "out").glob("*") if left.name != "cache"]


@pytest.mark.parametrize("row, stage", ROWS)
def test_every_reader_says_one_sentence_or_can_use_it(folder, tmp_path, row: Hostile, stage):
    path = row.make(tmp_path)
    for script, arguments in readers(folder, path).items():
        if script == f"train_{stage}.py":
            continue  # tried above
        ended = python(script.split()[0], *arguments)
        assert ended.code == 0 or (str(path) in ended.sentence and ended.code in (1, row.code)), script


@pytest.mark.parametrize(
    "name", ["a\nb.jsonl", "\x1b[31m.jsonl", "%s{0}.jsonl", "a:0.5.jsonl", "-a.jsonl", "a'\"$.jsonl"]
)
def test_names_that_are_only_strange(folder, tmp_path, name):
    (tmp_path / name).write_bytes(TEXT * 12)
    for script, arguments in readers(folder, tmp_path / name).items():
        if script not in ("train_full_sft.py", "eval_model.py --answers"):
            assert python(script, *arguments).code == 0, script
    (tmp_path / name).write_bytes(TEXT + b"{")
    for script, arguments in readers(folder, tmp_path / name).items():
        ended = python(script.split()[0], *arguments)
        assert script == "dataset.preview" or ended.sentence, script  # which counts bad lines


def test_as_a_process(folder, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(TEXT + b"oops\n")
    command = [sys.executable, "train_pretrain.py", *readers(folder, tmp_path / "a.jsonl")["train_pretrain.py"]]
    result = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"error: {tmp_path}/a.jsonl:2: not valid JSON")
