"""Ctrl-C, SIGTERM, a closed terminal: a first signal asks the run to save and end, a second one ends it at once."""

import os
import signal
import time

# 128 + the signal's number, as a shell reports it.
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
if hasattr(signal, "SIGHUP"):  # not on Windows
    EXIT_CODES[signal.SIGHUP] = 129

# Under torchrun one request arrives twice: from the terminal, which signals every process, and again from torchrun.
ECHO_SECONDS = 2.0


class Interrupts:
    """Remembers that a signal came, for the loop to notice between micro-batches. Use as a context.

    Before `patient` is called (nothing is worth saving yet) a signal ends the program at once, by `SystemExit`,
    so that files being written are cleaned up on the way.
    """

    def __init__(self, several_processes: bool = False):
        self._echo = ECHO_SECONDS if several_processes else 0.0
        self.received: int | None = None
        self._received_at = 0.0
        self._patient = False
        self._before = {}

    def __enter__(self):
        for number in EXIT_CODES:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def patient(self) -> None:
        """From here on a first signal is only remembered."""
        self._patient = True

    def _handle(self, number, frame):
        if not self._patient:
            raise SystemExit(EXIT_CODES[number])
        if self.received is None:
            self.received, self._received_at = number, time.monotonic()
        elif time.monotonic() - self._received_at >= self._echo:
            os._exit(EXIT_CODES[number])

    @property
    def exit_code(self) -> int:
        """Of the signal received; of SIGTERM where another process received it."""
        return EXIT_CODES[self.received or signal.SIGTERM]

    def ignore(self) -> None:
        """Everything is saved and this process is leaving: no signal may change its exit code now."""
        for number in EXIT_CODES:
            signal.signal(number, signal.SIG_IGN)
        self._before.clear()
