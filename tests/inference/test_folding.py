"""Long lines of a plan in a narrow terminal."""

import os
import sys

import pytest

from inference.folding import folded, folded_for_terminal, width_of
from training.report.description import Progress

BATCH = "batch     8,192 tokens a step = 16 rows x 1 micro-batch x 1 process  (near 2.9 times the square root of all)"


def test_what_goes_on_stands_below_what_a_line_says():
    assert folded(BATCH, 60).split("\n") == [
        "batch     8,192 tokens a step = 16 rows x 1 micro-batch x 1",
        "          process  (near 2.9 times the square root of all)",
    ]
    assert folded("optimizer muon, learning rate 0.02", 22).split("\n") == [
        "optimizer muon,",
        "          learning",
        "          rate 0.02",
    ]
    assert folded("  a.jsonl: 100.0% of the rows", 20).split("\n") == ["  a.jsonl: 100.0% of", "    the rows"]


@pytest.mark.parametrize(
    "line", [BATCH, "memory    about 3.51 GB", "", "新芽.jsonl: 一 二 三 四 五 六 七 八 九 十 " * 3]
)
@pytest.mark.parametrize("width", [40, 61, 200])
def test_no_word_is_lost_and_no_line_is_too_long(line, width):
    lines = folded(line, width).split("\n")
    assert " ".join(lines).split() == line.split()
    assert all(width_of(each.rstrip()) <= width for each in lines)


@pytest.mark.parametrize("program", ["python", "python3.11", "/usr/bin/python3", "python.exe", "torchrun"])
def test_a_command_stays_whole(program):
    command = f"report    {program} scripts/report.py {'a' * 90}"
    assert folded(command, 80) == command


def test_a_line_of_just_the_width_and_a_long_path_stay_whole():
    for line in (BATCH, "data      新芽 的 语料"):
        assert folded(line, width_of(line)) == line
        assert len(folded(line, width_of(line) - 1).split("\n")) == 2
    assert folded(f"writes    {'a' * 90}", 80) == f"writes    {'a' * 90}"


def test_only_a_terminal_folds(capsys, monkeypatch):
    progress = Progress(is_main=True)
    progress.say(BATCH)
    assert capsys.readouterr().out == f"{BATCH}\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdout, "fileno", lambda: 1)
    monkeypatch.setattr(os, "get_terminal_size", lambda *stream: os.terminal_size((80, 24)))
    progress.say(BATCH)
    assert capsys.readouterr().out == f"{folded(BATCH, 80)}\n"
    assert progress.before == [BATCH, BATCH]  # in run.json as it is
    monkeypatch.setattr(os, "get_terminal_size", lambda *stream: os.terminal_size((0, 0)))
    assert folded_for_terminal(BATCH) == BATCH
