"""All documents of one form that were not dropped yet, in order: where each is, and its hashes, on disk."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from dataset.prepare.conversations import compared_text
from dataset.prepare.judged import DOCUMENT
from dataset.prepare.work import file_of
from model.disk import write_atomically

PLACE = np.dtype([(name, DOCUMENT[name]) for name in DOCUMENT.names if name not in ("key", "bands")])
OPEN_FILES = 32
AT_ONCE = 2**16


class Documents:
    """rows: `PLACE` [N]; keys: uint8 [N, 16]; bands: uint64 [N, 14]; all memory-mapped."""

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
        for name, columns in _NAMES.items():
            shape, dtype = ((count,), PLACE) if columns == PLACE.names else ((count, *DOCUMENT[columns].shape), None)
            dtype = dtype or DOCUMENT[columns].base

            def write(file, columns=columns, shape=shape, dtype=dtype) -> None:
                header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_2_0(file, header)
                for each in files:
                    found = np.load(each)
                    if columns == PLACE.names:
                        part = np.empty(len(found), PLACE)
                        for column in columns:
                            part[column] = found[column]
                    else:
                        part = np.ascontiguousarray(found[columns])
                    file.write(part.tobytes())

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

    def text(self, index: int) -> str:
        """The text by which it is compared with others."""
        record = json.loads(self.line(index))
        return record["text"] if self.form == "text" else compared_text(record, self.compare)

    def close(self) -> None:
        with ExitStack() as stack:
            for file in self._open.values():
                stack.callback(file.close)
        self._open.clear()

    def blocks(self) -> Iterator[slice]:
        for start in range(0, len(self), AT_ONCE):
            yield slice(start, min(start + AT_ONCE, len(self)))


_NAMES = {"rows.npy": PLACE.names, "keys.npy": "key", "bands.npy": "bands"}
