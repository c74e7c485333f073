"""Files compressed by bzip2, xz or Zstandard, as streams of bytes. Loaded for such files only."""

import bz2
import io
import lzma

import pyarrow


def decompressed(raw, path: str) -> io.BufferedReader:
    """A readable stream of what `raw`, the opened file, holds. Raises EOFError where it is damaged or cut short."""
    if path.lower().endswith(".bz2"):
        stream = bz2.BZ2File(raw)  # reads files of several parts, as pbzip2 writes them, as not every pyarrow does
    elif path.lower().endswith(".xz"):
        stream = lzma.LZMAFile(raw)
    else:
        stream = pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, "r"), "zstd")
    return io.BufferedReader(_Guarded(stream), 2**20)


class _Guarded(io.RawIOBase):
    """A stream of bytes whose errors all become EOFError."""

    def __init__(self, stream):
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        try:
            piece = self._stream.read(len(buffer))
        except (pyarrow.ArrowException, lzma.LZMAError, OSError) as error:
            raise EOFError(str(error)) from error
        buffer[: len(piece)] = piece
        return len(piece)
