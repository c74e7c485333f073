"""Files that something is measured on: every line of them counts, so one that cannot be used is an error."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from dataset.records.documents import Document, FormatReader, read_documents
from dataset.records.formats import BadLine, Format
from dataset.records.kinds import KINDS, unknown_shape
from dataset.records.reading import check_file, read_records, size_of
from model.errors import SproutError

KIND = {kind.name: kind for kind in KINDS}


def kind_of_file(path: str | Path, kinds: Sequence[str]) -> tuple[str, Format]:
    """Which of `kinds` (keys of `KIND`) the first record of a file is (the first that fits), and its format.

    Raises `SproutError` for a file without records, and where the first line is of none of these kinds.
    """
    for item in read_records(path):
        if isinstance(item, BadLine):
            raise _unusable(item)
        for name in kinds:
            if (found := KIND[name].find_format(item.fields)) is not None:
                return name, found
        unknown = unknown_shape(item.fields, [KIND[name] for name in kinds])
        raise SproutError(f"{BadLine(item.path, item.line, unknown.reason, unknown.detail)}: give another file")
    raise SproutError(f"{path} holds no record")


def all_documents(path: str | Path, kind: str, doing: str) -> Iterator[Document]:
    """Every record of a file of one kind, with a progress bar over its bytes, labelled with `doing`.

    Raises `SproutError` for a file that cannot be read, and for the first line that cannot be used.
    """
    check_file(path)
    title = f"{doing} {Path(path).name}"
    bar = tqdm(
        total=size_of(path),
        unit="B",
        unit_scale=True,
        desc=title,
        leave=False,
        disable=None,
    )
    with bar:
        for item in read_documents(path, FormatReader(KIND[kind]), lambda position: bar.update(position - bar.n)):
            if isinstance(item, BadLine):
                raise _unusable(item)
            yield item


def _unusable(line: BadLine) -> SproutError:
    return SproutError(f"{line}: correct it, or remove the line")
