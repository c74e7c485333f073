"""All sources as one stream of chunks: so many documents that a process is busy for a second or two.

Where a chunk begins depends on the input alone, so that a run that goes on finds the chunks of the earlier one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dataset.prepare.settings import Settings
from dataset.prepare.sources import read_file
from dataset.records.formats import BadLine
from dataset.records.reading import size_of

CHARACTERS, DOCUMENTS = 2**19, 2000  # of a chunk


@dataclass
class Chunk:
    """rows: (number of the file, line, kind, text) of each document; of a bad line the kind is None, the text why.

    Texts, chats and pairs are never in one chunk: each has a file of results of its own. position: bytes read so far.
    """

    number: int
    form: str  # one of `FORMS`
    rows: list[tuple[int, int, str | None, str]] = field(default_factory=list)
    position: int = 0


FORMS = ("text", "chat", "preference")


def chunks(settings: Settings, characters: int = CHARACTERS) -> Iterator[Chunk]:
    """Every document and bad line of the files, in order."""
    chunk, size, position = Chunk(0, "text"), 0, _Position()
    for number, (source, path) in enumerate(settings.files):
        for item in read_file(Path(path), settings.text_column, settings.txt, settings.kinds[source], position.within):
            if isinstance(item, BadLine):
                row, form = (number, item.line, None, _why(item)), chunk.form
            else:
                row = (number, item.line, item.kind, item.text)
                form = item.kind if item.kind in FORMS else "text"
            if chunk.rows and (form != chunk.form or size >= characters or len(chunk.rows) >= DOCUMENTS):
                chunk.position = position.now
                yield chunk
                chunk, size = Chunk(chunk.number + 1, form), 0
            chunk.form = form
            chunk.rows.append(row)
            size += len(row[3])
        position.finish(size_of(path))
    if chunk.rows:
        chunk.position = position.now
        yield chunk


class _Position:
    """How many bytes of all files are read."""

    def __init__(self):
        self.now = self._before = 0

    def within(self, position: int) -> None:
        """In the file that is being read."""
        self.now = self._before + position

    def finish(self, size: int) -> None:
        self._before += size
        self.now = self._before


def _why(line: BadLine) -> str:
    return line.reason + (f" ({line.detail})" if line.detail else "")
