"""Lines that cannot be used: they stop the program, or are counted and set aside. Good files do not load this."""

import json
from collections import Counter
from pathlib import Path

from dataset.records.formats import BadLine
from dataset.records.odd_lines import refused


class BadLines:
    """The lines of a file that cannot be used. With `on_bad_line="stop"` the first one raises; with "skip" all are
    counted and written to `path`.

    Attributes: `counts` by reason; `first`, if there is one. The file has a JSON object for each line.
    """

    def __init__(self, on_bad_line: str, path: str | Path):
        self.on_bad_line, self.path = on_bad_line, Path(path)
        self.counts: Counter[str] = Counter()
        self.first: BadLine | None = None
        self._file = None

    def add(self, line: BadLine) -> None:
        """Raises SproutError with "stop"."""
        if self.on_bad_line == "stop":
            raise refused(line)
        self.first = self.first or line
        self.counts[line.reason] += 1
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "w", encoding="utf-8", errors="backslashreplace")
        entry = {"file": line.path, "line": line.line, "reason": line.reason, "detail": line.detail}
        self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __str__(self) -> str:
        return f"{self.counts.total():,} bad lines: the first is {self.first}"
