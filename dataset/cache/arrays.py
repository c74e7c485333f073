"""Arrays in files: written once, then mapped into memory, and known to be whole by the seal of their file."""

import os
import zlib
from contextlib import suppress
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
        # A plain array over the map: slices of numpy's own subclass cost several times as much.
        return np.asarray(np.memmap(path, dtype, mode="r", shape=(length,)))
    except (OSError, ValueError) as error:
        raise SproutError(f"{path} cannot be read ({error}): put it back, or start again to build it") from error


def has_size(path: Path, dtype: str, length: int) -> bool:
    """Whether the file is there with the size of `length` numbers."""
    return path.is_file() and path.stat().st_size == length * np.dtype(dtype).itemsize


class SummedFile:
    """A file being written, with the CRC-32 of what was.

    Its seal is (CRC-32, time of the last change in ns): as long as nobody changed the file since, it need not be read
    to know that it is whole, and a start takes as long with a large file as with a small one.
    """

    def __init__(self, path: Path):
        self._file = open(path, "wb")
        self.crc32 = 0

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
        with suppress(OSError):  # of a full disk; what is not finished is thrown away
            self._file.close()


def check_seal(path: Path, seal: tuple[int, int] | None) -> None:
    """Raises SproutError if the file was changed since it was sealed, and has another CRC-32. None: it has no seal."""
    with suppress(OSError):  # which is said where the file is read
        if seal is None or path.stat().st_mtime_ns == seal[1]:
            return
    from dataset.cache.checksum import check_content  # most files are as they were written

    check_content(path, seal[0])
