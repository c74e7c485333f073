"""Programs that are measured from outside: each has its own process, a limit of time, and a file for what it prints."""

import ctypes
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from scripts.benchmark.program import run_program

TAIL = 500  # characters of its last words
DYING = 20  # seconds that a killed process may take to end; one that waits for a driver may never do
QUOTED = "  | "  # begins the lines of a program within a program, which tells of their warnings itself

# What says that something does not run as it was meant to, in our words and in those of libraries.
_FALL_BACK = re.compile(
    r"warning:|without (a )?CUDA graph|no CUDA graph|cannot be compiled|goes on without|recompile_limit"
    r"|cache_size_limit|fall(ing|s)? ?back|not enough SMs",
    re.IGNORECASE,
)
_OF_NO_SPEED = re.compile(
    r"(Deprecation|Future|Resource)Warning:|teaches next to nothing|passes \d+ times over|reached --max_new_tokens"
    r"|bytes a token|\d% of the conversations"
)
_WHERE = re.compile(
    r"^(\S+:\d+: |[WE]\d{4} [^\]]*\] (\[\d+/\d+\S*\] )?)"
)  # before a warning, and a line of torch's log
_PR_SET_PDEATHSIG = 1  # of Linux's prctl.h


class Failed(Exception):
    """A program failed or ran out of time; says why in one line."""


class NoTime(Failed):
    """A program ran out of time."""


class Program:
    """A Python program in a folder, as a context. Leaving the context kills it, with all processes that it started.

    words: its arguments. printed: what it prints is added to this file. modules: folders to import from, besides its
    own. environment: variables of its own.

    It is killed with this process, too. It has a group of processes for itself but no session, so that whoever ends
    the session of this process ends all of them.
    """

    def __init__(
        self,
        words: list,
        folder: Path,
        printed: Path,
        deadline: float,
        modules: tuple[Path, ...] = (),
        environment: dict[str, str] | None = None,
    ):
        self.deadline, self._printed = deadline, printed
        printed.parent.mkdir(parents=True, exist_ok=True)
        words, paths = list(map(str, words)), os.pathsep.join([str(folder), *map(str, modules)])
        # Looked up here: between fork and exec a lock may be held for ever by a thread that is not there any more.
        prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
        with open(printed, "ab") as file:
            file.write(f"$ python {shlex.join(words)}\n".encode())
            file.flush()
            self._begin = file.tell()
            self._process = subprocess.Popen(
                [sys.executable, *words],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"} | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=prctl and partial(prctl, _PR_SET_PDEATHSIG, signal.SIGKILL),
            )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.kill()

    def kill(self) -> None:
        """Ends the program and what it started as a loss of power would: it saves nothing."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # all of them have ended; macOS calls that a lack of permission
            pass
        try:
            self._process.wait(DYING)
        except subprocess.TimeoutExpired:
            with open(self._printed, "ab") as file:  # there it is found as a warning
                file.write(
                    f"\nwarning: process {self._process.pid} was killed, and has not ended within {DYING} s: what it"
                    " holds of the GPU stays taken\n".encode()
                )

    def ask(self, signal_number: int) -> None:
        """Sends a signal to the program itself."""
        self._process.send_signal(signal_number)

    def wait(self) -> str:
        """Waits for its end and returns what it printed. Raises `Failed`."""
        self.until(lambda: False)
        return self.text()

    def until(self, reached: Callable[[], bool], every: float = 0.002) -> bool:
        """Waits until `reached()`, or the end of the program: then false. Raises `Failed`."""
        while not reached():
            code = self._process.poll()
            if code is not None:
                if code:
                    raise Failed(self._with_last_words(f"exit code {code}"))
                return reached()
            if time.monotonic() > self.deadline:
                raise NoTime(self._with_last_words("no time left"))
            time.sleep(every)
        return True

    def text(self) -> str:
        with open(self._printed, "rb") as file:
            file.seek(self._begin)
            return file.read().decode("utf-8", errors="replace")

    def _with_last_words(self, fault: str) -> str:
        lines = [line for line in self.text().splitlines() if line.strip()]
        return f"{fault}: {' | '.join(lines[-3:])[-TAIL:]}" if lines else fault


def results_in(text: str) -> list[dict]:
    """The objects of JSON among the lines that a program printed. Libraries print beside and behind them."""
    found = []
    for line in text.split("\n"):
        if line.startswith("{"):
            try:
                found.append(json.JSONDecoder().raw_decode(line)[0])
            except ValueError:  # the end of the program has cut it short, or it is not ours
                continue
    return found


def last_result(text: str) -> dict:
    """The last of `results_in`. Raises `Failed` if there is none."""
    if not (found := results_in(text)):
        raise Failed(f"it printed no result: {text.strip()[-TAIL:]}")
    return found[-1]


def warnings_in(text: str, most: int = 6) -> list[str]:
    """The lines that say that something does not run as it was meant to, each once and in at most 200 characters."""
    lines = (line.strip() for line in text.split("\n") if not line.startswith((QUOTED, "$ ", "{")))
    lines = (_WHERE.sub("", line)[:200] for line in lines if _FALL_BACK.search(line) and not _OF_NO_SPEED.search(line))
    found = list(dict.fromkeys(lines))
    return found[:most] + ([f"and {len(found) - most} more warnings"] if len(found) > most else [])


if __name__ == "__main__":
    run_program(__doc__)
