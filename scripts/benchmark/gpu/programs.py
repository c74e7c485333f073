"""Programs that are measured from outside: each has its own process, a limit of time, and a file for what it prints."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from scripts.benchmark.program import run_program

PATIENCE = 20  # seconds to end after SIGTERM
TAIL = 500  # characters of its last words


class Failed(Exception):
    """A program failed or ran out of time; says why in one line."""


class Program:
    """A Python program in a folder, as a context. Leaving the context ends it, with all processes that it started.

    words: its arguments. modules: folders to import from, besides its own.
    """

    def __init__(self, words: list, folder: Path, printed: Path, deadline: float, modules: tuple[Path, ...] = ()):
        self.deadline, self._printed = deadline, printed
        printed.parent.mkdir(parents=True, exist_ok=True)
        paths = os.pathsep.join([str(folder), *map(str, modules)])
        environment = os.environ | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
        with open(printed, "w", encoding="utf-8") as file:
            self._process = subprocess.Popen(
                [sys.executable, *map(str, words)],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self._process.pid, signal.SIGKILL)  # what it started may have outlived it
        except ProcessLookupError:
            pass
        self._process.wait()

    def kill(self) -> None:
        """Ends the program as a loss of power would."""
        self._process.kill()
        self._process.wait()

    def wait(self) -> str:
        """Waits for its end and returns what it printed. Raises `Failed`."""
        self.until(lambda: False)
        return self.text()

    def until(self, reached: Callable[[], bool], every: float = 0.02) -> bool:
        """Waits until `reached()`, or the end of the program: then false. Raises `Failed`."""
        while not reached():
            code = self._process.poll()
            if code is not None:
                if code:
                    raise Failed(f"exit code {code}: {self._last_words()}")
                return reached()
            if time.monotonic() > self.deadline:
                raise Failed(f"no time left: {self._last_words()}")
            time.sleep(every)
        return True

    def text(self) -> str:
        return self._printed.read_text(encoding="utf-8", errors="replace")

    def _last_words(self) -> str:
        lines = [line for line in self.text().splitlines() if line.strip()]
        return " | ".join(lines[-3:])[-TAIL:]


if __name__ == "__main__":
    run_program(__doc__)
