"""Input and output at a terminal: typed lines, and the text of a network."""

import contextlib
import io
import os
import re
import stat
import sys
from collections.abc import Iterator

from model.errors import counted, in_short

BOLD, DIM, PLAIN = "\033[1m", "\033[2m", "\033[0m"
THINKING = "thinking: "

# Whatever a network writes, it must not move the cursor or set the title of a window.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def in_terminal() -> bool:
    """Whether a user can type input."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def is_piped_in() -> bool:
    """Whether standard input is a pipe or a file, whose lines are prompts."""
    try:
        mode = os.fstat(0).st_mode if sys.stdin is not None else 0
    except OSError:  # it is closed
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def say(line: str) -> None:
    """Prints a message to standard error; standard output is for the text of the network."""
    print(counted(line), file=sys.stderr, flush=True)


def new_line() -> None:
    """Ends the line of standard output; an empty one stays empty."""
    print(flush=True)


def speed(tokens: int, seconds: float) -> str:
    """How fast a text was written, in words."""
    return f"[{tokens} tokens in {seconds:.1f} s, {tokens / seconds:.1f} tokens/s]"


def figures_in_words(figures: dict[str, float | int]) -> str:
    """Figures by name on one line: counts as integers, all others with four decimals, or as powers of ten."""
    return "  ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {in_short(value, 4)}"
        for name, value in figures.items()
    )


def has_styles() -> bool:
    """Whether standard output shows bold and dim letters, and the user wants them (https://no-color.org)."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb") and not os.environ.get("NO_COLOR")


def aside(line: str) -> None:
    """Prints a line that is no part of the answer to standard output, dim in a terminal."""
    print(f"{DIM}{line}{PLAIN}" if has_styles() else line, flush=True)


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
            line.encode("utf-8")  # bytes that are not text may arrive as half surrogate pairs
        except KeyboardInterrupt:
            print()
        except UnicodeError:
            say("error: that line is not UTF-8 text: type it again")
        except EOFError:
            print()
            return
        else:
            yield line


def piped_lines(mark: str | None) -> Iterator[str]:
    """Yields the lines of standard input that are not empty; with a mark, each is printed after it."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="replace")
    for line in sys.stdin:
        if line.strip():
            line = line.rstrip("\r\n")
            if mark is not None:
                print(f"{mark}{line}", flush=True)
            yield line


class Screen:
    """Shows a text that comes in pieces, some of them thoughts, on standard output.

    A terminal shows thoughts dim, and control characters as U+FFFD. Where nothing can be dim, each line of a thought
    begins with "thinking: ".
    """

    def __init__(self):
        self._terminal, self._styles = sys.stdout.isatty(), has_styles()
        self._thinks = False

    def show(self, piece: str, thought: bool = False) -> None:
        """Shows a piece; a line ends between thought and answer."""
        if not piece:
            return
        if self._terminal:
            piece = _CONTROL.sub("\ufffd", piece)
        if thought and not self._styles:
            piece = piece.replace("\n", "\n" + THINKING)
        if thought != self._thinks:
            begin, end = (DIM, PLAIN + "\n") if self._styles else (THINKING, "\n")
            piece = (begin if thought else end) + piece
            self._thinks = thought
        print(piece, end="", flush=True)

    def end(self) -> None:
        """Ends the text and its last line."""
        print(PLAIN if self._styles and self._thinks else "", flush=True)
        self._thinks = False
