"""The documents of a `.txt` file: blocks of lines between blank lines."""

from collections.abc import Iterator

from dataset.records.formats import MAX_LINE_BYTES, BadLine, Record


def text_blocks(path: str, numbered_lines: Iterator) -> Iterator[Record | BadLine]:
    """Blocks of lines between blank lines, one document each; its line number is that of its first line.

    A line that cannot be decoded spoils its block: half a document is not a document.
    """
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
                bad = BadLine(
                    path,
                    first,
                    f"the document is longer than {MAX_LINE_BYTES // 2**20} MiB",
                    "documents are separated by blank lines",
                )
        if bad:
            lines.clear()
        else:
            lines.append(text.rstrip("\r\n"))
    if lines or bad:
        yield block()
