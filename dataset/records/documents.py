"""From the records of a file to its documents: texts, conversations, or whatever a reader makes of a record."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dataset.records.formats import BadRecord, Format, detect_format
from dataset.records.reading import BadLine, read_records


@dataclass(frozen=True)
class Document:
    """What a reader made of a record, and where that came from."""

    line: int
    fields: dict  # of the record, keys in lower case
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


class FormatReader:
    """Reads records of a kind ("text" or "chat"): the first that fits a format decides that of all."""

    def __init__(self, kind: str):
        self.kind = kind
        self.format: Format | None = None

    def __call__(self, fields: dict):
        """A text or a `Conversation`. Raises `BadRecord`."""
        if self.format is None:
            self.format = detect_format(fields, self.kind)
        return self.format.read(fields)
