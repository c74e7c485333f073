"""Ctrl-C and SIGTERM: a first one asks the run to save and end, a second one ends it at once."""

import os
import signal

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}  # 128 + the signal's number, as a shell reports it


class Interrupts:
    """Remembers that a signal came, for the loop to notice between micro-batches. Use as a context.

    Before `patient` is called (nothing is worth saving yet) a signal ends the program at once, by `SystemExit`,
    so that files being written are cleaned up on the way.
    """

    def __init__(self):
        self.received: int | None = None
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
        if self.received is not None:
            os._exit(EXIT_CODES[number])
        self.received = number

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.received]
