"""scripts/report.py: which runs it takes, where the page goes, and what it says of a folder that is no run."""

import os
import re
import shutil
from pathlib import Path

import pytest

from model.errors import SproutError, UsageError
from scripts import diagnose, report
from tests.stages.workshop import Workshop
from tests.training.page.logs import write_run
from training.watch.runs import Runs


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_has_its_page_beside_its_lines(here, capsys):
    metrics = write_run(here / "out" / "logs" / "a_64")
    report.main(["out/logs/a_64"])
    page = metrics.with_name("report.html")
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert capsys.readouterr().out.startswith("out/logs/a_64/report.html: 1 run, 0.")
    report.main(["out/logs/a_64", "--save_path", "p.html"])
    assert (here / "p.html").exists()
    with pytest.raises(UsageError, match="--save_path out is a folder: name the file in it, such as out/report.html"):
        report.main(["out/logs/a_64", "--save_path", "out"])


def test_without_a_folder_it_takes_the_runs_beside_the_newest(here, capsys):
    for place, when in (("out/logs/old_64", 100), ("out/quickstart/logs/b_64", 300), ("out/quickstart/logs/a_64", 200)):
        os.utime(write_run(here / place), (when, when))
    shutil.copytree("out/logs/old_64", "out/earlier/old_64_2026/logs")  # an earlier result
    report.main([])
    page = (here / "out" / "quickstart" / "report.html").read_text("utf-8")
    assert "2 runs" in capsys.readouterr().out and "old_64" not in page
    assert page.index('id="run0"><h2>a_64') < page.index('id="run1"><h2>b_64')  # in the order in which they ended


def test_runs_are_named_from_within_their_folders(here, monkeypatch, capsys):
    for place in ("out/logs/a_64", "out2/logs/b_64"):
        write_run(here / place)
    (here / "out" / "a_64.pth").touch()
    monkeypatch.chdir(here / "out" / "logs")
    report.main(["a_64", "../../out2/logs/b_64"])
    assert (here / "out" / "report.html").exists()
    monkeypatch.chdir("a_64")
    report.main(["."])
    assert "<title>a_64" in (here / "out" / "logs" / "a_64" / "report.html").read_text("utf-8")
    diagnose.main(["."])
    assert str(here / "out" / "a_64.pth") in capsys.readouterr().out


def test_a_folder_of_logs_is_watched_from_within(here, monkeypatch):
    write_run(here / "out" / "logs" / "a_64")
    write_run(here / "out" / "lora" / "logs" / "b_64")
    for place, name in (("out/logs", "a_64"), ("out/lora/logs", "lora/b_64")):
        monkeypatch.chdir(here / place)
        assert [run.name for run in Runs(Path(".")).look()] == [name]


def test_a_page_replaces_only_a_page(here):
    metrics = write_run(here / "out" / "logs" / "a_64")
    before = metrics.read_bytes()
    (here / "mine.html").write_text("<!doctype html><p>written by scripts/report.py</p>" + 200 * " ")
    for path in (metrics, here / "mine.html"):
        with pytest.raises(
            UsageError, match=re.escape(f"{path} exists already and is not a page of scripts/report.py")
        ):
            report.main(["out/logs/a_64", "--save_path", str(path)])
    assert metrics.read_bytes() == before
    with pytest.raises(SproutError, match="mine.html is not a folder: choose another --save_path"):
        report.main(["out/logs/a_64", "--save_path", "mine.html/page.html"])
    report.main(["out/logs/a_64"])
    metrics.with_name("report.html").write_text("mine")
    with pytest.raises(UsageError, match="report.html exists already .* give another name with --save_path"):
        report.main(["out/logs/a_64"])
    report.main(["out/logs/a_64", "--save_path", "p.html"])
    report.main(["out/logs/a_64", "--save_path", "p.html"])


@pytest.mark.parametrize("words", [[], ["out"], ["nowhere"], ["notes.txt"]])
def test_what_is_no_run_is_one_sentence(here, words):
    (here / "out").mkdir()
    (here / "notes.txt").write_text("a")
    with pytest.raises(UsageError, match=r"give the log folder of (a run|one), such as out/logs/pretrain_512"):
        report.main(words)


def test_a_run_names_its_page_and_leaves_what_stands_on_it(tmp_path):
    workshop = Workshop.create(tmp_path)
    result = workshop.train("told", "--max_steps=4", "--sample_interval=2")
    assert f"scripts/report.py {result.logs.as_posix()}\n" in result.said
    left = report_of(result)
    assert left.flags["max_steps"] == 4 and left.environment["torch"] and left.said[-1].startswith("writes ")
    assert [each["step"] for each in left.samples] == 4 * [2] + 4 * [4] and not left.missing
    assert left.samples[2]["prompt"] == "从前"
    workshop.train("told", "--max_steps=4", "--sample_interval=2", "--resume")
    assert report_of(result).samples == left.samples


def report_of(result):
    from training.page.left import what_is_left

    return what_is_left(result.logs / "metrics.jsonl")
