"""A stream of documents' tokens on disk: BOS ids EOS BOS ids EOS ..., two or four bytes a token."""

import os
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from model.errors import SproutError


def token_dtype(vocab_size: int) -> str:
    """The smallest unsigned type that holds every id, little-endian on any machine."""
    return "<u2" if vocab_size <= 2**16 else "<u4"


def map_array(path: Path, dtype: str, length: int) -> np.ndarray:
    """A file of `length` numbers as a read-only memory-mapped array. Raises SproutError where it has changed."""
    if length == 0:  # an empty file cannot be mapped
        return np.empty(0, dtype)
    try:
        # As a plain array over the map: slices of the subclass cost several times as much.
        return np.asarray(np.memmap(path, dtype, mode="r", shape=(length,)))
    except (OSError, ValueError) as error:
        raise SproutError(f"{path} cannot be read any more ({error}): start again, it is built anew") from error


def has_size(path: Path, dtype: str, length: int) -> bool:
    """Whether the file is there with the size of `length` numbers."""
    return path.is_file() and path.stat().st_size == length * np.dtype(dtype).itemsize


class SummedFile:
    """A file being written, with the CRC-32 of what was.

    Its seal is (CRC-32, time of the last change in ns): as long as nobody changed the file since, it need not be read
    to know that it is whole, and a start takes as long with a large file as with a small one.
    """

    def __init__(self, path: Path):
        self._file, self.crc32 = open(path, "wb"), 0

    def write(self, content: bytes) -> None:
        self._file.write(content)
        self.crc32 = zlib.crc32(content, self.crc32)

    def finish(self) -> tuple[int, int]:
        """Bring everything to the disk and close; returns the seal."""
        self._file.flush()
        os.fsync(self._file.fileno())
        changed = os.fstat(self._file.fileno()).st_mtime_ns
        self._file.close()
        return self.crc32, changed

    def close(self) -> None:
        self._file.close()


def check_seal(path: Path, seal: tuple[int, int] | None) -> None:
    """Raises SproutError if the file was changed since it was sealed, and has another CRC-32.

    A file that was only copied is read through at each start, half a second or so a GB. None: it has no seal.
    """
    if seal is None:
        return
    (crc32, changed), found = seal, 0
    try:
        if path.stat().st_mtime_ns == changed:
            return
        with open(path, "rb", buffering=0) as file:
            while block := file.read(2**20):
                found = zlib.crc32(block, found)
    except OSError as error:
        raise SproutError(f"{path} cannot be read any more ({error}): start again, it is built anew") from error
    if found != crc32:
        raise SproutError(f"{path.parent} is damaged: {path.name} has another checksum; delete this folder")


@dataclass(frozen=True)
class StreamSize:
    """What a stream holds: `text_tokens` are all but BOS and EOS, `bytes` the UTF-8 bytes of the text."""

    documents: int = 0
    tokens: int = 0
    text_tokens: int = 0
    bytes: int = 0
    # Of the file, once it is finished; None in caches of earlier versions.
    seal: tuple[int, int] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class TokenStream:
    """A finished stream: where it is and what it holds."""

    path: Path
    dtype: str
    size: StreamSize
    _checked: list = field(default_factory=list, repr=False, compare=False)  # filled when it was

    def map(self) -> np.ndarray:
        """The stream as a read-only memory-mapped array [tokens].

        Let go of the array soon and map again when needed (some 20 microseconds): pages that were touched
        count as memory of the process for as long as the mapping lives, so one that lives as long as the run
        would grow to the size of the corpus.

        Before the first map in a process its seal is looked at. Raises SproutError for a damaged file.
        """
        if not self._checked:
            check_seal(self.path, self.size.seal)
            self._checked.append(True)
        return map_array(self.path, self.dtype, self.size.tokens)

    def is_whole(self) -> bool:
        """Whether the file is there with the size it should have."""
        return has_size(self.path, self.dtype, self.size.tokens)


class StreamWriter:
    """Writes a stream document by document.

    Where BOS and EOS are the same token (as in GPT-2), a single one stands between two documents."""

    def __init__(self, path: Path, dtype: str, bos_id: int, eos_id: int):
        self._file = SummedFile(path)
        self._path, self._dtype = path, np.dtype(dtype)
        self._bos, self._eos = bos_id, eos_id
        self.size = StreamSize()

    def __enter__(self) -> "StreamWriter":
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()

    def add(self, ids: list[int], text_bytes: int) -> None:
        """Append one document, given as its ids without BOS and EOS."""
        first = self.size.tokens == 0
        document = [self._bos, *ids, self._eos] if first or self._bos != self._eos else [*ids, self._eos]
        self._file.write(np.array(document, self._dtype).tobytes())
        size = self.size
        self.size = StreamSize(
            size.documents + 1,
            size.tokens + len(document),
            size.text_tokens + len(ids),
            size.bytes + text_bytes,
        )

    def finish(self) -> TokenStream:
        """Bring everything to the disk and close."""
        return TokenStream(self._path, self._dtype.str, replace(self.size, seal=self._file.finish()))
