"""A person at a terminal: what is typed, and how the words of a network are shown."""

import contextlib
import os
import re
import sys
from collections.abc import Iterator

BOLD, DIM, PLAIN = "\033[1m", "\033[2m", "\033[0m"
THINK, THINK_END = "<think>", "</think>"

# Whatever a network writes, it must not move the cursor or set the title of a window.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def in_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def say(line: str) -> None:
    """Prints what is not an answer."""
    print(line, file=sys.stderr, flush=True)


def has_styles() -> bool:
    """Whether standard output shows bold and dim letters, and the user wants them (https://no-color.org)."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb") and not os.environ.get("NO_COLOR")


def typed_lines(hint: str) -> Iterator[str]:
    """Yields what is typed, line by line; Ctrl-D ends, Ctrl-C begins a new line."""
    ask = "> "
    with contextlib.suppress(ImportError):  # not on Windows
        import readline  # input() then edits its line, Chinese characters too

        if has_styles() and "libedit" not in (readline.__doc__ or ""):
            ask = f"\001{BOLD}\002> \001{PLAIN}\002"  # between \001 and \002: takes no room on the line
    say(hint)
    while True:
        try:
            line = input(ask)
            line.encode("utf-8")  # bytes that are no text may arrive as half surrogate pairs
        except KeyboardInterrupt:
            print()
        except UnicodeError:
            say("error: that line is not UTF-8 text: type it again")
        except EOFError:
            print()
            return
        else:
            yield line


class Screen:
    """Standard output for a text that comes in pieces. In a terminal, thoughts are dim and control characters shown
    as U+FFFD; elsewhere the text goes out as it is.
    """

    def __init__(self):
        self._terminal, self._styles = sys.stdout.isatty(), has_styles()
        self._held = ""  # the end of the text so far, where it may be half a tag

    def show(self, piece: str) -> None:
        if self._terminal:
            piece = _CONTROL.sub("\ufffd", piece)
        if self._styles:
            text = self._held + piece
            self._held = _begun_tag(text)
            text = text.removesuffix(self._held)
            piece = text.replace(THINK, DIM + THINK).replace(THINK_END, THINK_END + PLAIN)
        print(piece, end="", flush=True)

    def end(self) -> None:
        """Ends the text and its last line."""
        print(self._held + (PLAIN if self._styles else ""), flush=True)
        self._held = ""


def _begun_tag(text: str) -> str:
    """The longest end of `text` that a tag of thinking may begin with; often nothing."""
    start = text.rfind("<")
    end = text[start:] if start >= 0 else ""
    return end if end and (THINK.startswith(end) or THINK_END.startswith(end)) and end not in (THINK, THINK_END) else ""
