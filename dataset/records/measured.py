"""Files that something is measured on: every line of them counts, so one that cannot be used is an error."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from dataset.records.documents import Document, FormatReader, read_documents
from dataset.records.formats import BadLine, BadRecord, Format, RecordKind
from dataset.records.kinds import KINDS, find_kind, narrowed, unknown_shape
from dataset.records.odd_lines import refused
from dataset.records.reading import bar_over, check_file, read_records, size_of
from model.errors import SproutError, UsageError
from model.text.tokenizer import text_batches

KIND = {kind.name: kind for kind in KINDS}


def kind_of_file(path: str | Path, kinds: Sequence[str], name: str | None = None) -> tuple[RecordKind, Format]:
    """Which of `kinds` (keys of `KIND`) the first record of a file is, and in which format; the kind has no other.

    name: that of the format, as --format gives it. Raises `SproutError` for a file without records, and where the first
    line is of none of these kinds.
    """
    wanted = [KIND[kind] for kind in kinds]
    if name is not None:
        known = dict.fromkeys(one.name for kind in wanted for one in kind.formats)
        if name not in known:
            raise UsageError(f"--format {name} is not known here: give one of {', '.join(known)}")
        wanted = [narrowed(kind, name) for kind in wanted]
    for item in read_records(path):
        if isinstance(item, BadLine):
            raise _unusable(item)
        if (found := find_kind(item.fields, wanted)) is not None:
            kind, one = found
            return replace(kind.whole or kind, formats=(one,)), one
        unknown = unknown_shape(item.fields, wanted)
        raise refused(BadLine(item.path, item.line, unknown.reason, unknown.detail))
    raise SproutError(f"{path} holds no record")


def all_documents(path: str | Path, kind: RecordKind, doing: str) -> Iterator[Document]:
    """Every record of a file of one kind, with a progress bar over its bytes, labelled with `doing`.

    Raises `SproutError` for a file that cannot be read, and for the first line that cannot be used.
    """
    check_file(path)
    with bar_over(size_of(path), f"{doing} {Path(path).name}") as bar:
        yield from _documents(path, kind, lambda position: bar.update(position - bar.n))


def parts_of(
    path: str | Path, kind: RecordKind, doing: str
) -> Iterator[tuple[list[Document], Callable[[float], None]]]:
    """`all_documents` in lists of about a million characters, for what takes longer than reading them.

    With each list comes a function that moves the bar to where a share of it, 0 to 1, is dealt with.
    """
    check_file(path)
    read = 0

    def note(position: int) -> None:
        nonlocal read
        read = position

    with bar_over(size_of(path), f"{doing} {Path(path).name}") as bar:
        documents = _documents(path, kind, note)
        for few in text_batches(documents, _characters):
            start, end = bar.n, read

            def show(share: float, start=start, end=end) -> None:
                bar.update(round(start + share * (end - start)) - bar.n)

            yield few, show
            show(1.0)


def at_line(path: str | Path, document: Document, make: Callable[[object], object]):
    """`make(document.content)`. Raises `SproutError` that names the line where that raises `BadRecord`."""
    try:
        return make(document.content)
    except BadRecord as error:
        raise _unusable(BadLine(str(path), document.line, error.reason, error.detail)) from error


def _characters(document: Document) -> int:
    content = document.content
    return len(content) if isinstance(content, str) else content.characters


def _documents(path, kind: RecordKind, show: Callable[[int], None]) -> Iterator[Document]:
    for item in read_documents(path, FormatReader(kind), show):
        if isinstance(item, BadLine):
            raise _unusable(item)
        yield item
    show(size_of(path))


def _unusable(line: BadLine) -> SproutError:
    return refused(line, "correct it, or remove the line")
