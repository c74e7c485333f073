"""With `--on_bad_line skip` every good line is trained, and every bad one is listed where it was."""

import json
import re
from pathlib import Path

import pytest

from dataset.command_line import Source
from dataset.corpus import Corpus
from dataset.records.bad_lines import BadLines
from dataset.records.formats import BadLine
from tests.faults.hostile_files import CHAT, CHATS, LINES, TEXT, Hostile
from tests.stages.workshop import Workshop, same, write_chats, write_texts

ROWS = {"pretrain": LINES, "full_sft": CHATS}
GOOD = {"pretrain": TEXT, "full_sft": CHAT}


def bad_lines(stage: str) -> list[tuple[bytes, str]]:
    """Every bad line of the table that may stand in a file of good ones, and part of what is said of it."""
    rows = [row for row in ROWS[stage] if row.line == 2 and row.file.endswith("s.jsonl") and "cut" not in row.name]
    return [(line_of(row, GOOD[stage]), row.words) for row in rows]


def line_of(row: Hostile, good: bytes) -> bytes:
    line = row.content.split(b"\n")[1]
    assert line + b"\n" not in good
    return line


def mixed(folder: Path, stage: str) -> tuple[Path, Path, dict[int, str]]:
    """A file of good lines alone, the same with all bad ones among them, and what is said of which line."""
    write = write_texts if stage == "pretrain" else write_chats
    good = write(folder / f"good_{stage}.jsonl", 60, seed=3).read_bytes().splitlines()
    lines, said = [], {}
    for number, (line, words) in enumerate(bad_lines(stage)):
        lines += [*good[number : number + 1], line]
        said[len(lines)] = words
        if number % 7 == 0:
            lines.append(b"")  # counted, and passed over
    lines += good[len(said) :]
    path = folder / f"mixed_{stage}.jsonl"
    path.write_bytes(b"\r\n".join([*lines, b'{"text": "cut sh']))
    return folder / f"good_{stage}.jsonl", path, {**said, len(lines) + 1: "is the file cut short?"}


@pytest.mark.parametrize("stage", ["pretrain", "full_sft"])
def test_the_good_lines_are_trained_and_the_bad_ones_listed(folder, stage):
    good, path, said = mixed(folder, stage)
    assert len(said) > 20
    workshop = Workshop(folder, stage)
    clean = workshop.train(f"clean_{stage}", data=(good,))
    skipped = workshop.train(f"skipped_{stage}", "--on_bad_line", "skip", data=(path,))
    assert skipped.losses == clean.losses and len(clean.losses) > 3
    assert same(skipped.weights, clean.weights)
    counts = re.search(r"left out ([\d,]+) bad lines \((.*)\), see (\S+)", skipped.said)
    assert int(counts[1]) == len(said)
    listed = [json.loads(line) for line in Path(counts[3]).read_text(encoding="utf-8").splitlines()]
    assert [entry["line"] for entry in listed] == list(said)
    for entry in listed:
        assert entry["file"] == str(path)
        assert said[entry["line"]] in f"{entry['reason']} ({entry['detail']})", entry
    of_reasons = [int(number.replace(",", "")) for number in re.findall(r"(?:^|; )([\d,]+) ", counts[2])]
    assert sum(of_reasons) == len(said)


@pytest.mark.parametrize("row", [row for row in LINES if row.file != "texts.jsonl"], ids=lambda row: row.name)
def test_what_is_good_in_other_files_is_trained(folder, tmp_path, row):
    path = row.make(tmp_path)
    said = Workshop(folder).train("out", "--on_bad_line", "skip", "--dry_run", "--val_ratio", "0", data=(path,)).said
    good = {"a.jsonl.gz": 300, "a.txt": 1 if "endless" in row.name else 2}[row.file]
    assert f" {good} document" in said and "left out 1 bad line (" in said


def test_a_tokenizer_learns_from_the_good_lines(folder, tmp_path):
    _, path, _ = mixed(folder, "pretrain")
    corpus = Corpus([Source(path)], "skip", tmp_path / "bad.jsonl")
    listed = (tmp_path / "bad.jsonl").read_text(encoding="utf-8").splitlines()
    lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    assert corpus.bad_lines.total() == len(listed) > 20
    assert corpus.documents[0] + len(listed) == len(lines)


def test_the_list_of_bad_lines_is_written_whatever_is_in_them(tmp_path):
    lines = BadLines("skip", tmp_path / "bad.jsonl")
    lines.add(BadLine("a\udcff\n.jsonl", 3, "a reason", "\x1b[2J\ud800"))
    lines.close()
    (entry,) = map(json.loads, (tmp_path / "bad.jsonl").read_text(encoding="utf-8").splitlines())
    assert (entry["line"], entry["reason"]) == (3, "a reason")
