"""The documents of a `.txt` file: blocks of lines between blank lines."""

import contextlib
import json
from collections.abc import Iterator, Sequence

from dataset.records.formats import MAX_LINE_BYTES, BadLine, Record
from dataset.records.odd_lines import HOLDS_JSON, NOT_DATA


def text_blocks(path: str, numbered_lines: Iterator) -> Iterator[Record | BadLine]:
    """Blocks of lines between blank lines, one document each; its line number is that of its first line.

    A line that cannot be decoded spoils its block: half a document is not a document. JSON that no text follows is
    refused: some programs add `.txt` to the name of a file of records, and hide it.
    """
    held, is_text = None, False
    for block in _blocks(path, numbered_lines):
        may_be_text = not is_text and isinstance(block, Record)
        holds_json = may_be_text and is_json(block.fields["text"].split("\n"))
        is_text = is_text or (may_be_text and not holds_json)
        if held:
            yield held if is_text else BadLine(path, held.line, NOT_DATA, HOLDS_JSON)
        held = block if holds_json else None
        if not holds_json:
            yield block
    if held:
        yield BadLine(path, held.line, NOT_DATA, HOLDS_JSON)


def _blocks(path: str, numbered_lines: Iterator) -> Iterator[Record | BadLine]:
    block = _Block(path)
    for line in numbered_lines:
        if not isinstance(line, BadLine) and not line[1].strip():
            yield from block.finished()
            block = _Block(path)
        elif isinstance(line, BadLine):
            block.spoil(line)
        else:
            block.add(*line)
    yield from block.finished()


class _Block:
    """Lines that no blank line parts; once one is bad, the first that was, and no text any more."""

    def __init__(self, path: str):
        self._path = path
        self._first, self._size = 0, 0  # number of the first line, and bytes
        self._lines: list[str] = []
        self._bad: BadLine | None = None

    def add(self, number: int, text: str) -> None:
        self._first = self._first or number
        self._size += len(text.encode())
        if self._size > MAX_LINE_BYTES and not self._bad:
            reason, detail = NOT_DATA, HOLDS_JSON
            if not is_json(self._lines):
                reason = f"the document is longer than {MAX_LINE_BYTES // 2**20} MiB"
                detail = "documents are separated by blank lines"
            self.spoil(BadLine(self._path, self._first, reason, detail))
        if not self._bad:
            self._lines.append(text.rstrip("\r\n"))

    def spoil(self, line: BadLine) -> None:
        self._bad = self._bad or line
        self._lines.clear()

    def finished(self) -> Iterator[Record | BadLine]:
        """What it comes to; nothing if it has no line."""
        if self._bad:
            yield self._bad
        elif self._lines:
            yield Record(self._path, self._first, {"text": "\n".join(self._lines)})


def is_json(lines: Sequence[str]) -> bool:
    """Whether the lines are objects of JSON, or an array of such."""
    if not lines or not lines[0].lstrip().startswith(("{", "[")):
        return False
    return _is_record("\n".join(lines)) or (_is_record(lines[0]) and _is_record(lines[-1]))


def _is_record(text: str) -> bool:
    with contextlib.suppress(RecursionError, ValueError):
        value = json.loads(text)
        return isinstance(value[0] if value and isinstance(value, list) else value, dict)
    return False
