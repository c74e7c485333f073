"""How a script begins and ends: errors of one sentence, exit codes, and a fast --help."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from model.errors import SproutError, UsageError
from training.stages.arguments import run_main

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "error, code, message",
    [
        (SproutError("a.jsonl:3: no text"), 1, "error: a.jsonl:3: no text\n"),
        (UsageError("unknown flag --x"), 2, "error: unknown flag --x\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_become_one_sentence_and_an_exit_code(capsys, error, code, message):
    def main():
        raise error

    with pytest.raises(SystemExit) as stopped:
        run_main(main)
    assert stopped.value.code == code
    assert capsys.readouterr().err == message


def test_a_full_disk_is_said(capsys):
    def main():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out/metrics.jsonl")

    with pytest.raises(SystemExit) as stopped:
        run_main(main)
    assert stopped.value.code == 1
    message = capsys.readouterr().err
    assert "disk is full" in message and "out/metrics.jsonl" in message


def test_what_is_not_expected_keeps_its_traceback():
    def main():
        raise FileNotFoundError("a bug")

    with pytest.raises(FileNotFoundError):
        run_main(main)


# --- the stage scripts ------------------------------------------------------------------------------

SCRIPTS = sorted(path.name for path in [*ROOT.glob("train_*.py"), ROOT / "eval_model.py"])


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_grouped_and_does_not_wait_for_torch(script):
    code = f"""
import runpy, sys
sys.argv = [{script!r}, "--help"]
try:
    runpy.run_path({script!r}, run_name="__main__")
except SystemExit as stopped:
    assert not stopped.code
assert "torch" not in sys.modules and "transformers" not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "--seed" in result.stdout or "--vocab_size" in result.stdout
    titles = [line for line in result.stdout.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert len(titles) == len(set(titles))


def test_a_wrong_flag_ends_a_script_with_one_line():
    command = [sys.executable, "train_pretrain.py", "--data_pth", "x"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr == "error: unknown flag --data_pth: did you mean --data_path?\n"
