"""A script in a pseudo-terminal, with somebody who types and reads."""

import os
import select
import signal
import subprocess
import sys
import time

from tests.stages.workshop import ROOT


class Session:
    """`python SCRIPT *flags` in a terminal of its own. Use as a context; what still runs at its end is killed."""

    def __init__(self, script: str, *flags, **environment: str):
        self._terminal, inside = os.openpty()
        # xterm, with UTF-8: what a user's terminal says of itself.
        settings = os.environ | {"OMP_NUM_THREADS": "1", "TERM": "xterm", "LC_ALL": "C.UTF-8"} | environment
        command = [sys.executable, script, *map(str, flags)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=settings, stdin=inside, stdout=inside, stderr=inside, start_new_session=True
        )
        os.close(inside)
        self._unread = b""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)

    def until(self, words: str) -> str:
        """What the terminal shows from where it was last read up to and with `words`."""
        wanted, deadline = words.encode(), time.monotonic() + 60
        while wanted not in self._unread:
            assert time.monotonic() < deadline, self._unread.decode(errors="replace")
            self._read(seconds=1)
        shown, self._unread = self._unread.split(wanted, 1)
        return (shown + wanted).decode(errors="replace")

    def _read(self, seconds: float) -> bool:
        """Whether anything came in that time."""
        ready = bool(select.select([self._terminal], [], [], seconds)[0])
        if ready:
            self._unread += os.read(self._terminal, 4096)
        return ready

    def type(self, text: str | bytes) -> None:
        os.write(self._terminal, text if isinstance(text, bytes) else text.encode())

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def interrupt_prompt(self) -> None:
        """Ctrl-C while a line is typed, and again if nothing happens, as one would: a signal that comes just before
        Python begins to wait for a key is noticed only with the next.
        """
        for _ in range(10):
            self.interrupt()
            if self._read(seconds=3):
                return
        raise AssertionError("ten Ctrl-C had no effect")

    def end(self) -> int:
        """The exit code."""
        return self.process.wait(30)
