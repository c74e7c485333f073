"""What all commands do alike with their flags, and with what they print to."""

import io
import os
import sys

import pytest

from dataset.command_line import CommandParser, run_main
from model.errors import UsageError


@pytest.mark.parametrize(
    "flag, words",
    [
        ("--out_dir", ["--out_dir", ""]),
        ("--out_dir", ["--out_dir="]),
        ("--out_dir", ["--save_dir", ""]),  # MiniMind's name
        ("--save_dir", ["--save_dir", ""]),
    ],
)
def test_no_folder_is_named_by_an_unset_variable(flag, words):
    parser = CommandParser()
    parser.add_argument(flag, default="out")
    assert parser.parse_args([flag, "."]) and parser.parse_args([])
    with pytest.raises(UsageError, match=f"{flag} is empty"):
        parser.parse_args(words)


def test_no_file_is_named_by_an_unset_variable_and_a_text_may_be_empty():
    parser = CommandParser()
    parser.add_argument("logs", nargs="+", metavar="FOLDER")
    parser.add_argument("--save_path", metavar="FILE")
    parser.add_argument("--data_path", nargs="+", metavar="FILE[:WEIGHT]")
    parser.add_argument("--prompt", metavar="TEXT", default="")
    assert parser.parse_args(["a", "--prompt", ""]).prompt == ""
    for words, name, advice in (
        ([""], "FOLDER", "give it a value"),
        (["a", "--save_path", ""], "--save_path", "give it a value, or leave it out"),
        (["a", "--data_path", "a", ""], "--data_path", "give it a value, or leave it out"),
    ):
        with pytest.raises(UsageError, match=f"^{name} is empty, as an unset variable is: {advice}$"):
            parser.parse_args(words)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_what_an_output_has_no_sign_for_is_spelled_out(monkeypatch, encoding):
    """A log file on Windows knows no Chinese, and no encoding half a character, as a name of a file may hold."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    run_main(lambda: print("从 \udcff", flush=True))
    assert written.getvalue().decode(encoding) == ("从" if encoding == "utf-8" else "\\u4ece") + " \\udcff\n"


def test_closed_outputs_stop_nothing(monkeypatch):
    """A service may close both; Python then has None in their place."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    done = []
    run_main(lambda: (sys.stdout.flush(), print("a", file=sys.stderr), done.append(sys.stderr.isatty())))
    assert done == [False]


@pytest.mark.parametrize(
    "environment, spins",
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_threads_sleep_soon_unless_the_user_says_otherwise(monkeypatch, environment, spins):
    """That PyTorch is loaded only afterwards, as GNU's OpenMP asks for, is a test of tests/test_architecture.py."""
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
        if name in environment:
            monkeypatch.setenv(name, environment[name])
    found = []
    run_main(lambda: found.append(os.environ.get("GOMP_SPINCOUNT")))
    assert found == [spins]
