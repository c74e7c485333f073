"""Files compressed by bzip2 or Zstandard, as streams of bytes. Loaded for such files only."""

import bz2
import io

import pyarrow


def decompressed(raw, path: str):
    """A readable stream of what `raw`, the opened file, holds. Raises EOFError where it is damaged or cut short."""
    if path.lower().endswith(".bz2"):
        return bz2.BZ2File(raw)
    return io.BufferedReader(_Zstandard(raw), 2**20)


class _Zstandard(io.RawIOBase):
    """pyarrow's decompression as a raw stream of Python's."""

    def __init__(self, raw):
        self._stream = pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, "r"), "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        try:
            piece = self._stream.read(len(buffer))
        except (pyarrow.ArrowException, OSError) as error:
            raise EOFError(str(error)) from error
        buffer[: len(piece)] = piece
        return len(piece)
