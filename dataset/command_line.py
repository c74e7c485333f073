"""What every command of ours shares: a parser with errors of one sentence, data files, values, `run_main`."""

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset.records.reading import check_file
from model.errors import UsageError


class CommandParser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are `UsageError`s of one sentence; an unknown flag gets a hint."""

    def __init__(self, description: str | None = None, **settings):
        settings |= {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
        super().__init__(description=description, **settings)

    def parse_args(self, args=None, namespace=None):
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            from dataset.unknown_flags import read_again  # needed only now

            known = read_again(self, args, type(namespace))
        for flag in self._actions:
            value = getattr(known, flag.dest, None)
            if flag.metavar != "TEXT" and "" in (value if isinstance(value, list) else [value]):
                name = (*flag.option_strings, flag.metavar or flag.dest)[0]
                advice = "give it a value" + ("" if flag.required else ", or leave it out")
                raise UsageError(f"{name} is empty, as an unset variable is: {advice}")
        return known

    def error(self, message):
        from dataset.failures import usage_error  # needed only now

        raise usage_error(message)


@dataclass(frozen=True)
class Source:
    """A data file and its share of the mixture; the weights of several are relative to each other."""

    path: Path
    weight: float | None = None


def parse_sources(items: Sequence[str | Path]) -> list[Source]:
    """Read `FILE` or `FILE:WEIGHT` items and look at every file before any is read.

    Either every item has a weight or none has. Raises UsageError for items that contradict each other or a
    weight that is not a positive number, SproutError for a file that cannot be used.
    """
    sources = [_parse_source(str(item)) for item in items]
    for source in sources:
        check_file(source.path)
    without = [source.path for source in sources if source.weight is None]
    if without and len(without) < len(sources):
        raise UsageError(f"{without[0]} has no weight, and other files have one: give every file a weight, or none")
    refuse_same_file(source.path for source in sources)
    return sources


def refuse_same_file(paths: Iterable[Path]) -> None:
    """Raises UsageError if two of the paths lead to one file."""
    seen: dict[tuple[int, int], Path] = {}
    for path in paths:
        stat = os.stat(path)  # links and other spellings of a path lead to the same inode
        if (first := seen.setdefault((stat.st_dev, stat.st_ino), path)) is not path:
            raise UsageError(f"{path} and {first} are the same file: name it once")


def _parse_source(item: str) -> Source:
    # A name that exists is that file, whatever colons are in it.
    head, colon, tail = item.rpartition(":")
    if not colon or not head or os.path.exists(item):
        return Source(Path(item))
    try:
        weight = float(tail)
    except ValueError:
        if os.path.isfile(head):
            raise UsageError(f"{item}: the weight {tail!r} is not a number") from None
        return Source(Path(item))  # C:\data\a.jsonl
    if not (math.isfinite(weight) and weight > 0):
        raise UsageError(f"{item}: a weight must be greater than zero, and finite")
    return Source(Path(head), weight)


def run_main(main) -> None:
    """Runs a script's `main`; what stops it is said in one sentence, with an exit code (`dataset/failures.py`)."""
    # PyTorch, which is not loaded yet: its threads are to wait for each other asleep, as other programs need the cores.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # times to look before; GNU's OpenMP would look 300,000 times
    sys.stdout, sys.stderr = (each or open(os.devnull, "w") for each in (sys.stdout, sys.stderr))  # None: closed
    if getattr(sys.stdout, "errors", None) == "strict":  # a terminal or a file may have no sign for a text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        main()
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        from dataset.failures import exit_code_of  # needed only now

        code = exit_code_of(error)
        if code is None:  # a mistake of ours: the traceback says more
            raise
        sys.exit(code)


def positive_int(text: str) -> int:
    """A whole number of at least 1."""
    return _whole(text, 1, "is not a whole number of at least 1")


def count(text: str) -> int:
    """A whole number of at least 0."""
    return _whole(text, 0, "is negative")


def _whole(text: str, least: int, complaint: str) -> int:
    value, largest = int(text), 2**31 - 1  # real work needs far less
    if not least <= value <= largest:
        raise argparse.ArgumentTypeError(f"{value} {complaint if value < least else f'is more than {largest}'}")
    return value


def nonnegative(text: str) -> float:
    """A finite number of at least 0, within the range of float32."""
    return _number(text, lambda value: 0 <= value < 3.4e38, f"{text} is not a finite number of at least 0")


def positive(text: str) -> float:
    """A finite number above 0."""
    return _number(text, lambda value: nonnegative(text) > 0, "0 is not allowed here")


def fraction(text: str) -> float:
    """A number from 0 up to but not including 1."""
    return _number(text, lambda value: 0 <= value < 1, f"{text} is not between 0 and 1")


def share(text: str) -> float:
    """A number from 0 to 1."""
    return _number(text, lambda value: 0 <= value <= 1, f"{text} is not between 0 and 1")


def _number(text: str, fits: Callable[[float], bool], complaint: str) -> float:
    if not fits(value := float(text)):
        raise argparse.ArgumentTypeError(complaint)
    return value


def file_name(text: str) -> str:
    """A file name without a folder, so that what is written stays in its folder."""
    plain = text.isprintable() and not set(text) & set('/\\:*?"<>|') and text not in ("", ".", "..")
    if not plain or len(os.fsencode(text)) > 150:  # a file name of 255 bytes has to hold more than it
        shown = text if len(text) <= 60 else text[:57] + "..."
        raise argparse.ArgumentTypeError(f"{shown!r} is not a plain name: give up to 150 letters and digits, no folder")
    return text


positive_int.__name__ = count.__name__ = "whole number"  # argparse says "invalid <name> value"
nonnegative.__name__ = positive.__name__ = fraction.__name__ = share.__name__ = "number"


def add_switch(add, name: str, meaning: str, default: bool | None = None, grades=(), **settings) -> None:
    """`--name` turns something on and `--no_name` off; None leaves it to what the run begins with.

    add: a `Flags`, or the `add_argument` of a parser. grades: how it is on, by `--name GRADE`, the first by `--name`.
    """
    on = {"nargs": "?", "choices": grades, "const": grades[0]} if grades else {"action": "store_true"}
    add(f"--{name}", dest=name, default=default, help=f"{meaning}; or --no_{name}", **on, **settings)
    add(f"--no_{name}", dest=name, action="store_false", default=default, help=argparse.SUPPRESS, **settings)
