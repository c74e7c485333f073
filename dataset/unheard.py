"""A command that writes files comes to its end when nobody reads what it prints any more, as under `| head -1`."""

import os
import sys
from collections.abc import Callable


class Unheard:
    """The stream, but what it prints is lost from where its reader has gone."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text: str) -> int:
        self._unless_closed(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._unless_closed(self._stream.flush)

    def _unless_closed(self, act: Callable) -> None:
        try:
            act()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


def to_its_end(main: Callable[[], None]) -> Callable[[], None]:
    """`main`, for `run_main`; it ends only with its work done."""

    def to_the_end() -> None:
        sys.stdout = Unheard(sys.stdout)
        main()

    return to_the_end
