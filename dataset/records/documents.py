"""From the records of a file to its documents: texts, conversations, or whatever a reader makes of a record.

Lines that cannot be used stop the program or are set aside (`dataset/records/bad_lines.py`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dataset.records.formats import BadLine, BadRecord, Format, RecordKind
from dataset.records.reading import bar_over, read_records, size_of


@dataclass(frozen=True)
class Document:
    """What a reader made of a record, and where that came from."""

    line: int
    fields: dict  # what the record says, keys in lower case
    content: object


def read_documents(
    path: str | Path, read: Callable[[dict], object], progress: Callable[[int], None] | None = None
) -> Iterator[Document | BadLine]:
    """Every record of a file as `read(fields)` makes it, in order; a `BadLine` for each line that is not one.

    A record for which `read` raises `BadRecord` is such a line too. `progress` and errors: see `read_records`.
    """
    for item in read_records(path, progress):
        if not isinstance(item, BadLine):
            try:
                item = Document(item.line, item.fields, read(item.fields))
            except BadRecord as error:
                item = BadLine(item.path, item.line, error.reason, error.detail)
        yield item


def detect_format(fields: dict, kind: RecordKind) -> Format:
    """The format of a record with these fields, keys in lower case. Raises BadRecord naming the accepted ones."""
    found = kind.find_format(fields)
    if found is None:
        from dataset.records.kinds import unknown_shape  # this loads the readers of all kinds

        raise unknown_shape(fields, (kind,))
    return found


class FormatReader:
    """Reads records of one kind, in the format of the first that fits one; `make` says what becomes of a document."""

    def __init__(self, kind: RecordKind, make: Callable[[object], object] = lambda document: document):
        self.kind, self._make = kind, make
        self.format: Format | None = None

    def __call__(self, fields: dict):
        """The document that the record stands for. Raises `BadRecord`."""
        if self.format is None:
            self.format = detect_format(fields, self.kind)
        return self._make(self.format.read(fields))


class Documents:
    """The documents of a file in order, with a progress bar; bad lines stop it or are set aside."""

    def __init__(self, source: Path, read: FormatReader, on_bad_line: str, bad_lines_path: Path, progress: bool):
        self.source, self._read = source, read
        self._on_bad_line, self._bad_lines_path = on_bad_line, bad_lines_path
        self.bad_lines = None  # a `bad_lines.BadLines` from the first one on
        self._bar = bar_over(size_of(source), f"tokenising {source.name}", shown=progress)

    def __enter__(self) -> "Documents":
        return self

    def __exit__(self, *exception) -> None:
        self._bar.close()
        if self.bad_lines:
            self.bad_lines.close()

    def __iter__(self) -> Iterator[object]:
        def show(position: int) -> None:
            self._bar.update(position - self._bar.n)

        for item in read_documents(self.source, self._read, show):
            if not isinstance(item, BadLine):
                yield item.content
                continue
            if self.bad_lines is None:
                from dataset.records.bad_lines import BadLines  # good files do not load it

                self.bad_lines = BadLines(self._on_bad_line, self._bad_lines_path)
            self.bad_lines.add(item)
        show(self._bar.total)
