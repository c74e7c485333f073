"""Follows a `metrics.jsonl` that grows: each look reads what was added, and the first look at a long file a part of it.

The run is not asked and not slowed: its file is only read. A line that is not whole yet is read at a later look.
"""

import contextlib
import json
import os
from pathlib import Path
from statistics import median
from typing import BinaryIO

from training.report.lines import finite, flat

WHOLE = 2**20  # bytes at the end of a file that are read in full; of what stands before, lines here and there
SPARSE = 500  # how many of those
MOST_POINTS = 8192  # of a curve
RECENT = 50  # lines from which speed is taken


class Points(list):
    """(step, value) of a curve. Where it has too many it goes on with every second, so that they stay evenly spread."""

    def __init__(self):
        super().__init__()
        self._every, self._waiting = 1, 0

    def add(self, step: int, value: float) -> None:
        self._waiting += 1
        if self._waiting < self._every:
            return
        self._waiting = 0
        self.append((step, value))
        if len(self) > MOST_POINTS:
            del self[1::2]
            self._every *= 2


class Following:
    """What is known of a run by its lines so far; `look` reads on.

    Attributes: `last`, the newest line; `recent`, the newest few; `curve` and `validations`, `Points`;
    `validated`, the newest line with a validation; `name`, what `curve` holds, "loss" or, where the policy learns from
    them, "reward"; `not_finite` and `damaged`, numbers of lines read.
    """

    def __init__(self, path: Path):
        self.path = path
        self._forget()

    def _forget(self) -> None:
        self._file_id, self._read = None, 0
        self.last: dict = {}
        self.recent: list[dict] = []
        self.curve, self.validations = Points(), Points()
        self.validated: dict = {}
        self.name = "loss"
        self.not_finite = 0
        self.damaged = 0

    def look(self) -> bool:
        """Reads what was added, and returns whether anything changed. A file that was replaced is read anew."""
        try:
            with open(self.path, "rb") as file:
                found = os.fstat(file.fileno())
                # A resumed run replaces its file by one without the steps that it repeats.
                if (found.st_dev, found.st_ino) != self._file_id or found.st_size < self._read:
                    self._forget()
                    self._file_id = found.st_dev, found.st_ino
                    self._begin(file, found.st_size)
                if found.st_size == self._read:
                    return False
                file.seek(self._read)
                return self._take(file.read(found.st_size - self._read))
        except OSError:  # a run that begins again has just moved its folder aside
            changed = bool(self.last)
            self._forget()
            return changed

    def _begin(self, file: BinaryIO, size: int) -> None:
        """Takes lines here and there of all but the end of a long file, and finds the last validation in it."""
        if size <= WHOLE:
            return
        edge = size - WHOLE
        for number in range(SPARSE):
            file.seek(edge * number // SPARSE)
            if number:
                file.readline()  # the seek has led into the middle of a line
            if file.tell() < edge:
                self._add(file.readline())
        file.seek(edge)
        file.readline()
        self._read = file.tell()
        if line := _last_with(file, b'"val_', self._read):  # the line over the edge may hold it
            self._validate(_read_line(line) or {})

    def _take(self, content: bytes) -> bool:
        whole = content.rfind(b"\n") + 1
        self._read += whole
        for text in content[:whole].splitlines():
            self._add(text)
        return whole > 0

    def _add(self, text: bytes) -> None:
        line = _read_line(text)
        if line is None:
            self.damaged += bool(text.strip())
            return
        if line["step"] <= self.last.get("step", 0):  # the sparse lines of a short range may meet
            return
        self.last = line
        self.recent = [*self.recent[1 - RECENT :], line]
        if self.name == "loss" and finite(line.get("reward")) is not None:
            self.name, self.curve, self.validations = "reward", Points(), Points()  # the loss of a policy says nothing
        value = finite(line.get(self.name))
        if value is not None:
            self.curve.add(line["step"], value)
        elif self.name == "loss" and line.get("skipped") != "overflow":  # those are normal in float16
            self.not_finite += 1
        self._validate(line)

    def _validate(self, line: dict) -> None:
        if any(key.startswith("val_") for key in line):
            self.validated = line
            value = finite(line.get(f"val_{self.name}"))
            if value is not None and line["step"] > (self.validations[-1][0] if self.validations else 0):
                self.validations.add(line["step"], value)

    def latest(self, name: str) -> float | None:
        """The newest number under `name`; None where the recent lines have none."""
        values = (finite(line.get(name)) for line in reversed(self.recent))
        return next((value for value in values if value is not None), None)

    def usual(self, name: str) -> float | None:
        """The median of the recent numbers under `name`: a single step may have waited for something."""
        values = [value for line in self.recent if (value := finite(line.get(name))) is not None]
        return median(values) if values else None


def _read_line(text: bytes) -> dict | None:
    """A line of a step; None for what is none."""
    with contextlib.suppress(ValueError, RecursionError):
        line = json.loads(text)
        if isinstance(line, dict) and type(line.get("step")) is int and isinstance(line.get("time", {}), dict):
            return flat(line)
    return None


def _last_with(file: BinaryIO, mark: bytes, end: int) -> bytes | None:
    """The last whole line before `end` in which `mark` stands; found from behind, without reading lines."""
    after = b""
    while end > 0:
        start = max(0, end - WHOLE)
        file.seek(start)
        block = file.read(end - start) + after
        place = block.rfind(mark)
        begins = block.rfind(b"\n", 0, place) + 1
        if place >= 0 and (begins or not start):
            file.seek(start + begins)
            return file.readline()
        end, after = start, block[: block.find(b"\n") + 1]  # a line may lie in two blocks
    return None


def last_line(path: Path) -> dict | None:
    """The newest whole line of a file of JSON lines, whatever it holds; None where there is none."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - WHOLE))
            lines = file.read().rpartition(b"\n")[0].splitlines()
    except OSError:
        return None
    with contextlib.suppress(ValueError, RecursionError, IndexError):
        line = json.loads(lines[-1])
        return line if isinstance(line, dict) else None
    return None
