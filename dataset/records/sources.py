"""The items of `--data_path`: a file each, with an optional weight (`a.jsonl:0.7 b.jsonl:0.3`)."""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset.records.reading import check_file
from model.errors import UsageError


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
    sources = [_parse(str(item)) for item in items]
    for source in sources:
        check_file(source.path)
    without = [source.path for source in sources if source.weight is None]
    if without and len(without) < len(sources):
        raise UsageError(f"{without[0]} has no weight but other files have: give every file one, or none")
    refuse_same_file(source.path for source in sources)
    return sources


def refuse_same_file(paths: Iterable[Path]) -> None:
    """Raises UsageError if two of the paths lead to one file."""
    seen: dict[tuple[int, int], Path] = {}
    for path in paths:
        stat = os.stat(path)  # links and other spellings of a path lead to the same inode
        first = seen.setdefault((stat.st_dev, stat.st_ino), path)
        if first is not path:
            raise UsageError(f"{path} and {first} are the same file: name it once")


def _parse(item: str) -> Source:
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
