"""Lines that cannot be used: the first ends the program, or all are counted and listed in a file."""

import json
from collections import Counter
from pathlib import Path

from dataset.records.reading import BadLine
from model.errors import SproutError


class BadLines:
    """With `on_bad_line="stop"` the first one raises; with "skip" they are counted and written to `path`.

    Attributes: `counts` by reason; `first`, if there is one. The file, a JSON object a line, begins with the first.
    """

    def __init__(self, on_bad_line: str, path: str | Path):
        self.on_bad_line, self.path = on_bad_line, Path(path)
        self.counts: Counter[str] = Counter()
        self.first: BadLine | None = None
        self._file = None

    def add(self, line: BadLine) -> None:
        """Raises SproutError with "stop"."""
        if self.on_bad_line == "stop":
            raise SproutError(f"{line}: correct it, or leave such lines out with --on_bad_line skip")
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
