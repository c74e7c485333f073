"""All documents of one form that were not dropped yet, in order: where each is, and its hashes, on disk."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from dataset.prepare.conversations import said_in, sides_of
from dataset.prepare.judged import DOCUMENT
from dataset.prepare.work import file_of
from model.disk import write_atomically

OPEN_FILES = 32
AT_ONCE = 2**16


class Documents:
    """rows: `DOCUMENT` [N]; keys: uint8 [N, sides, 16]; bands: uint64 [N, sides, 14]; all memory-mapped."""

    def __init__(self, folder: Path, form: str, chunks: Sequence[int], compare: str):
        """chunks: the numbers of those that hold this form; their files are put together, unless they are already."""
        self.folder, self.form, self.compare = folder, form, compare
        self.path = folder / form
        if not (self.path / "bands.npy").exists():
            self._gather(chunks)
        self.rows, self.keys, self.bands = (np.load(self.path / name, mmap_mode="r") for name in _NAMES)
        self._open: dict[int, object] = {}

    def _gather(self, chunks: Sequence[int]) -> None:
        """Three files, the last of which is written last."""
        files = [file_of(self.folder, "judged", number, "npy") for number in chunks]
        count = sum(np.load(file, mmap_mode="r").shape[0] for file in files)
        row_type = np.load(files[0], mmap_mode="r").dtype
        for name, column in _NAMES.items():
            dtype, inner = row_type[column].subdtype if column else (DOCUMENT, ())

            def write(file, column=column, dtype=dtype, inner=inner) -> None:
                header = {
                    "descr": np.lib.format.dtype_to_descr(dtype),
                    "fortran_order": False,
                    "shape": (count, *inner),
                }
                np.lib.format.write_array_header_2_0(file, header)
                for found in map(np.load, files):
                    file.write(np.ascontiguousarray(found[column] if column else _without_hashes(found)).tobytes())

            write_atomically(self.path / name, write)

    def __len__(self) -> int:
        return len(self.rows)

    def line(self, index: int) -> bytes:
        """The document as a line of the result."""
        row = self.rows[index]
        chunk = int(row["chunk"])
        if chunk not in self._open:
            if len(self._open) >= OPEN_FILES:
                self._open.pop(next(iter(self._open))).close()
            self._open[chunk] = open(file_of(self.folder, "judged", chunk, "jsonl"), "rb")
        self._open[chunk].seek(int(row["offset"]))
        return self._open[chunk].read(int(row["bytes"]))

    @property
    def sides(self) -> int:
        return self.bands.shape[1]

    def side(self, index: int, side: int) -> str:
        """A text by which it is compared with others."""
        record = json.loads(self.line(index))
        return record["text"] if self.form == "text" else sides_of(record, self.compare)[side]

    def text(self, index: int) -> str:
        """All that is said in it."""
        record = json.loads(self.line(index))
        return record["text"] if self.form == "text" else said_in(record)

    def close(self) -> None:
        with ExitStack() as stack:
            for file in self._open.values():
                stack.callback(file.close)
        self._open.clear()

    def blocks(self) -> Iterator[slice]:
        for start in range(0, len(self), AT_ONCE):
            yield slice(start, min(start + AT_ONCE, len(self)))


_NAMES = {"rows.npy": None, "keys.npy": "key", "bands.npy": "bands"}


def _without_hashes(found: np.ndarray) -> np.ndarray:
    rows = np.empty(len(found), DOCUMENT)
    for column in DOCUMENT.names:
        rows[column] = found[column]
    return rows
