"""scripts/watch.py: a run is followed in a terminal to the end of its process; elsewhere it is looked at once."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager

import pytest

from tests.faults.kills import lines_in
from tests.faults.scripts import ROOT, python
from tests.stages.table import SHAPE
from tests.stages.workshop import write_texts
from tests.support import wait_until
from tests.training.watch.test_frame import write_run
from training.watch.drawing import width_of


class Terminal:
    """`scripts/watch.py` in a terminal of its own. Use as a context; what still runs at its end is killed."""

    def __init__(self, *words, size=(24, 80), **environment):
        self._end, theirs = pty.openpty()
        self.resize(*size)
        self.seen = ""
        variables = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        variables |= {"TERM": "xterm"} | environment
        command = [sys.executable, "scripts/watch.py", *map(str, words)]
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        self.process = subprocess.Popen(command, cwd=ROOT, env=variables, **streams)
        os.close(theirs)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        os.close(self._end)

    def resize(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self, seconds: float = 0.2) -> str:
        """All that was written so far."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and select.select([self._end], [], [], left)[0]:
            try:
                self.seen += os.read(self._end, 65536).decode("utf-8", "ignore")
            except OSError:  # the process has ended
                break
        return self.seen

    def frames(self) -> list[list[str]]:
        """The lines of each whole frame."""
        return [[re.sub(r"\033\[\w*", "", line) for line in part.split("\033[K")[:-1]] for part in self._parts()]

    def _parts(self) -> list[str]:
        return [
            part.partition("\033[J")[0].replace("\r\n", "")
            for part in self.read().split("\033[H")[1:]
            if "\033[J" in part
        ]

    def wait_for(self, text: str, lines: int = 24, seconds: float = 60) -> list[str]:
        """The first frame of at most so many lines that says `text`, after those that were seen before."""
        seen, until = len(self.frames()), time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            for found in self.frames()[max(0, seen - 1) :]:
                if text in "\n".join(found) and len(found) <= lines:
                    return found
        raise AssertionError(f"{text!r} is not shown:\n{self.seen[-3000:]}")

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        wait_until(lambda: (self.read(), self.process.poll())[1] is not None)
        self.read()
        return self.process.returncode


@contextmanager
def training(out, steps: int):
    """A run of a network of 30,000 parameters, in a process of its own."""
    texts = write_texts(out / "texts.jsonl", 60, seed=1)
    words = f"--data_path {texts} --out_dir {out} --max_steps {steps} --epochs {steps} --weight_name tiny --device cpu"
    words += f" --max_seq_len 32 --batch_size 2 --accumulation_steps 1 --compile off --save_interval {steps} "
    words += " ".join(f"--{name} {value}" for name, value in SHAPE.items())
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "train_pretrain.py", *words.split()]
    # It prints more than a pipe holds that nobody reads, and would wait.
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: process.poll() is not None or lines_in(out / "logs" / "tiny_32" / "metrics.jsonl"))
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_run_is_followed_until_its_process_is_gone(tmp_path):
    words = ("--out_dir", tmp_path, "--interval", "0.3")
    with training(tmp_path, steps=10**6) as run, Terminal(*words) as watching:
        found = watching.wait_for(f"process {run.pid} runs")
        assert found[0].startswith("tiny_32: pretrain") and len(found) <= 24
        assert all(width_of(line) <= 80 for line in found) and re.search(
            r"loss \d\.\d{4}  learning rate", "".join(found)
        )
        step = int(re.search(r"step ([\d,]+) of 1,000,000", found[1])[1].replace(",", ""))
        watching.resize(12, 50)
        small = watching.wait_for("tokens/s", lines=12)
        assert all(width_of(line) <= 50 for line in small)
        run.kill()
        last = watching.wait_for(f"process {run.pid} has gone")
        assert int(re.search(r"step ([\d,]+)", last[1])[1].replace(",", "")) > step
        assert watching.end() == 130
    assert watching.seen.endswith("\033[?7h\033[?25h\033[?1049l") and "Traceback" not in watching.seen


@pytest.mark.parametrize(("environment", "styled"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_no_colour_where_none_is_wanted_and_the_screen_comes_back(tmp_path, environment, styled):
    write_run(tmp_path, "a_64")
    write_run(tmp_path, "b_64")
    with Terminal("--out_dir", tmp_path, "--interval", "0.1", **environment) as watching:
        watching.wait_for("> ")
        assert watching.end(signal.SIGTERM) == 143 and watching.seen.endswith("\033[?1049l")
    assert ("\033[1m" in watching.seen) == styled


def test_a_terminal_that_cannot_go_back_and_once(tmp_path):
    write_run(tmp_path, "a_64")
    for words, environment in ((("--once",), {}), ((), {"TERM": "dumb"})):
        with Terminal("--out_dir", tmp_path, *words, **environment) as watching:
            assert watching.process.wait(60) == 0
            assert "a_64: pretrain" in watching.read() and "\033" not in watching.seen


def test_without_a_terminal_it_looks_once(tmp_path):
    write_run(tmp_path, "a_64", sample="新芽 \x1b[2J")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    ended = python("scripts/watch.py", "--out_dir", tmp_path)
    assert (ended.code, ended.err) == (0, "") and "step 30 of 40" in ended.out and "\x1b" not in ended.out
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--out_dir", "gone"], 2, "--out_dir gone is no folder"),
        (["--out_dir", "docs"], 1, "docs holds no run yet"),
        (["--interval", "0"], 2, "0 is not allowed here"),
    ],
)
def test_where_there_is_nothing_to_see_one_sentence_says_so(words, code, said):
    ended = python("scripts/watch.py", *words)
    assert ended.code == code and said in ended.sentence


def test_a_name_that_no_run_has(tmp_path):
    write_run(tmp_path, "a_64")
    assert "has no run called b: it has a_64" in python("scripts/watch.py", "b", "--out_dir", tmp_path).sentence
