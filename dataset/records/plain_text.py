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
    first, size, lines, bad = 0, 0, [], None

    def block() -> Record | BadLine:
        return bad or Record(path, first, {"text": "\n".join(lines)})

    for item in numbered_lines:
        if isinstance(item, BadLine):
            bad = bad or item
        elif not item[1].strip():
            if lines or bad:
                yield block()
            first, size, lines, bad = 0, 0, [], None
            continue
        else:
            number, text = item
            first = first or number
            size += len(text.encode())
            if size > MAX_LINE_BYTES and not bad:
                reason, detail = NOT_DATA, HOLDS_JSON
                if not is_json(lines):
                    reason = f"the document is longer than {MAX_LINE_BYTES // 2**20} MiB"
                    detail = "documents are separated by blank lines"
                bad = BadLine(path, first, reason, detail)
        if bad:
            lines.clear()
        else:
            lines.append(text.rstrip("\r\n"))
    if lines or bad:
        yield block()


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
