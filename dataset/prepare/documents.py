"""All documents of one form that were not dropped yet, in order: where each is, and its hashes, on disk."""

import json
import mmap
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from dataset.prepare.conversations import said_in
from dataset.prepare.duplicates.minhash import BANDS
from dataset.prepare.judged import DOCUMENT
from dataset.prepare.parts import slices
from dataset.prepare.settings import Settings
from dataset.prepare.work import file_of, write_sealed

OPEN_FILES = 32


class Documents:
    """rows: `DOCUMENT` [N]; keys: uint8 [N, sides, 16]; bands: uint64 [N, sides, 14]; all memory-mapped.

    sides: their names. alike: the numbers of those that are alike in duplicates; asked: of that by which documents go
    to validation.

    On disk the values of a band lie one after the other, since they are sorted band by band.
    """

    def __init__(self, folder: Path, form: str, chunks: Sequence[int], settings: Settings, stage: str = "judged"):
        """chunks: the numbers of those that hold this form; their files are put together, unless they are already.
        stage: where these files are."""
        self.folder, self.form, self.chunks, self.stage = folder, form, chunks, stage
        self.sides = settings.sides(form)
        compared = self.sides if form == "text" or settings.compare == "both" else (settings.compare,)
        self.alike = [self.sides.index(side) for side in compared]
        self.asked = self.sides.index("prompt") if "prompt" in self.sides else 0
        self.path = folder / f"{form}-{stage}"
        if not (self.path / "bands.npy").exists():
            self._gather()
        self._maps: list[mmap.mmap] = []
        self.rows, self.keys, bands = (self._mapped(name) for name in ("rows.npy", "keys.npy", "bands.npy"))
        self.bands = bands.transpose(2, 0, 1)
        counts = np.zeros(max(chunks, default=0) + 1, np.int64)
        for here in slices(len(self)):
            counts += np.bincount(self.rows["chunk"][here], minlength=len(counts))
            self.forget()
        self._ends = np.cumsum(counts)
        self._open: dict[int, object] = {}

    def _gather(self) -> None:
        """Three files, the last of which is written last."""
        files = [file_of(self.folder, self.stage, number, "npy") for number in self.chunks]
        count = sum(np.load(file, mmap_mode="r").shape[0] for file in files)
        sides = np.load(files[0], mmap_mode="r").dtype["key"].shape[0]

        def rows(file) -> None:
            _write_header(file, DOCUMENT, (count,))
            for found in map(np.load, files):
                file.write(_without_hashes(found).tobytes())

        def keys(file) -> None:
            _write_header(file, np.uint8, (count, sides, 16))
            for found in map(np.load, files):
                file.write(np.ascontiguousarray(found["key"]).tobytes())

        def bands(file) -> None:
            _write_header(file, np.uint64, (sides, BANDS, count))
            begin, done = file.tell(), 0
            for found in map(np.load, files):
                for number, values in enumerate(found["bands"].reshape(-1, sides * BANDS).T):
                    file.seek(begin + 8 * (number * count + done))
                    file.write(values.tobytes())
                done += len(found)

        for write in (rows, keys, bands):
            write_sealed(self.folder, self.path / f"{write.__name__}.npy", write)

    def _mapped(self, name: str) -> np.ndarray:
        with open(self.path / name, "rb") as file:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
            self._maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            return np.ndarray(shape, dtype, self._maps[-1], file.tell())

    def forget(self) -> None:
        """Gives back the memory of what was read of the mapped files; it is read again where it is needed."""
        for each in self._maps:
            if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
                each.madvise(mmap.MADV_DONTNEED)

    def column(self, name: str) -> np.ndarray:
        """A column of `rows`, in memory."""
        found = np.empty(len(self), DOCUMENT[name])
        for here in slices(len(self)):
            found[here] = self.rows[name][here]
            self.forget()
        return found

    def of_chunk(self, number: int) -> slice:
        """The numbers of the documents of a chunk."""
        return slice(int(self._ends[number - 1]) if number else 0, int(self._ends[number]))

    def __len__(self) -> int:
        return len(self.rows)

    def line(self, index: int) -> bytes:
        """The document as a line of the result."""
        row = self.rows[index]
        chunk = int(row["chunk"])
        if chunk not in self._open:
            if len(self._open) >= OPEN_FILES:
                self._open.pop(next(iter(self._open))).close()
            self.forget()
            self._open[chunk] = open(file_of(self.folder, self.stage, chunk, "jsonl"), "rb")
        self._open[chunk].seek(int(row["offset"]))
        return self._open[chunk].read(int(row["bytes"]))

    def side(self, index: int, side: int) -> str:
        """A text by which it is compared with others."""
        record = json.loads(self.line(index))
        return record["text"] if self.form == "text" else said_in(record, self.sides[side])

    def text(self, index: int) -> str:
        """All that is said in it."""
        record = json.loads(self.line(index))
        return record["text"] if self.form == "text" else said_in(record)

    def close(self) -> None:
        with ExitStack() as stack:
            for file in self._open.values():
                stack.callback(file.close)
        self._open.clear()


def _write_header(file, dtype, shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(file, header)


def _without_hashes(found: np.ndarray) -> np.ndarray:
    rows = np.empty(len(found), DOCUMENT)
    for column in DOCUMENT.names:
        rows[column] = found[column]
    return rows
