"""Watch runs from another window, over ssh, too: loss curve, speed, time left, last validation, sample and verdict.

    python scripts/watch.py                                   # the runs in out, or in the newest folder of it
    python scripts/watch.py pretrain --out_dir out/quickstart
    python scripts/watch.py --once                            # one look, as where the output is no terminal

Only reads what a run writes by itself, so the run goes on as fast as before. Ctrl-C ends the watching, not the run.
"""

import io
import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import CommandParser, positive, run_main  # not training.stages.arguments: this needs no torch
from inference.terminal import BOLD, PLAIN, has_styles
from model.errors import SproutError, UsageError
from training.watch.frame import frame
from training.watch.runs import Runs, newest_place, other_places

OUT = Path("out")
LOOKED_AROUND = 10.0  # seconds between two looks at other folders
USUAL = (80, 24)  # columns and lines where a terminal does not say
POLLED = 0.1  # seconds: how soon a change of the size of the window is answered
# Switch to the second screen and hide the cursor; lines that are too long are cut by the terminal. And back.
OPEN, CLOSE = "\033[?1049h\033[?25l\033[?7l", "\033[?7h\033[?25h\033[?1049l"
HOME, END_OF_LINE, BELOW = "\033[H", "\033[K", "\033[J"


def main(argv=None) -> None:
    parser = CommandParser(__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="only these runs (pretrain, pretrain_512, lora/medic_512)"
    )
    parser.add_argument("--out_dir", help="where runs write (out, or the folder in it with the newest run)")
    parser.add_argument("--interval", type=positive, default=1.0, help="seconds between two looks (%(default)s)")
    parser.add_argument("--once", action="store_true", help="look once, and end")
    args = parser.parse_args(argv)
    out = newest_place(OUT, tuple(args.names)) if args.out_dir is None else Path(args.out_dir)
    if not out.is_dir():
        raise UsageError(f"--out_dir {out} is no folder: name the one that the run writes to")
    runs = Runs(out, tuple(args.names))
    elsewhere = other_places(OUT, out, runs.names) if args.out_dir is None else []
    if not runs.look() and not runs.preparing():
        raise SproutError(nothing(runs))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a sample may hold what this terminal cannot show
    redraws = sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
    if args.once or not redraws:
        columns, _ = size()
        print("\n".join(frame(runs.look(), runs.out_dir, columns, None, braille(), runs.preparing(), elsewhere)))
        return
    with own_screen():
        follow(runs, args.interval, elsewhere, moves=args.out_dir is None)


def nothing(runs: Runs) -> str:
    if runs.odd:
        return f"{runs.odd[0]} is no file, such as a run writes: move it away, or name another folder by --out_dir"
    if runs.names and (known := runs.all_names()):
        return f"{runs.out_dir} has no run called {' or '.join(runs.names)}: it has {', '.join(sorted(known))}"
    return f"{runs.out_dir} holds no run yet: begin one, or name the folder that it writes to by --out_dir"


def follow(runs: Runs, interval: float, elsewhere: list[Path], moves: bool) -> None:
    """Draws a frame every `interval` seconds, and at once when the window has another size.

    moves: where no run goes on in the folder, goes to another one of `out` in which one has begun since.
    """
    looked = time.monotonic()
    while True:
        if moves and time.monotonic() - looked >= LOOKED_AROUND:
            looked = time.monotonic()
            if not runs.go_on() and (place := newest_place(OUT, runs.names)) != runs.out_dir:
                runs, elsewhere = Runs(place, runs.names), other_places(OUT, place, runs.names)
        drawn_for, until = size(), time.monotonic() + interval
        draw(frame(runs.look(), runs.out_dir, *drawn_for, braille(), runs.preparing(), elsewhere))
        while time.monotonic() < until and size() == drawn_for:
            time.sleep(min(POLLED, interval))


def draw(lines: list[str]) -> None:
    """Writes over the frame before, in one piece so that it does not flicker."""
    styled = has_styles()
    shown = [f"{BOLD}{line}{PLAIN}" if styled and line.startswith((">", "verdict")) else line for line in lines]
    sys.stdout.write(HOME + "\n".join(line + END_OF_LINE for line in shown) + BELOW)
    sys.stdout.flush()


@contextmanager
def own_screen():
    """The second screen of the terminal; the first one comes back as it was, whatever ends the watching."""

    def ended(number, stack):
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, ended)
    sys.stdout.write(OPEN)
    try:
        yield
    finally:
        sys.stdout.write(CLOSE)
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, before)


def size() -> tuple[int, int]:
    """Columns and lines of the terminal now. COLUMNS and LINES are not asked: a shell leaves them as they were."""
    try:
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):  # it is none
        return USUAL
    return (columns, lines) if columns and lines else USUAL


def braille() -> bool:
    """Whether what is written can hold braille signs, of which the curve is made."""
    try:
        "\u28ff".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


if __name__ == "__main__":
    run_main(main)
