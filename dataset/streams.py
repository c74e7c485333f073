"""A stream of documents' tokens on disk: BOS ids EOS BOS ids EOS ..., two or four bytes a token."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.errors import SproutError


def token_dtype(vocab_size: int) -> str:
    """The smallest unsigned type that holds every id, little-endian on any machine."""
    return "<u2" if vocab_size <= 2**16 else "<u4"


@dataclass(frozen=True)
class StreamSize:
    """What a stream holds: `text_tokens` are all but BOS and EOS, `bytes` the UTF-8 bytes of the text."""

    documents: int = 0
    tokens: int = 0
    text_tokens: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class TokenStream:
    """A finished stream: where it is and what it holds."""

    path: Path
    dtype: str
    size: StreamSize

    def map(self) -> np.ndarray:
        """The stream as a read-only memory-mapped array [tokens].

        Let go of the array soon and map again when needed (some 20 microseconds): pages that were touched
        count as memory of the process for as long as the mapping lives, so one that lives as long as the run
        would grow to the size of the corpus.
        """
        if self.size.tokens == 0:  # an empty file cannot be mapped
            return np.empty(0, self.dtype)
        try:
            # As a plain array over the map: slices of the subclass cost several times as much.
            return np.asarray(np.memmap(self.path, self.dtype, mode="r", shape=(self.size.tokens,)))
        except (OSError, ValueError) as error:
            raise SproutError(
                f"{self.path} cannot be read any more ({error}): start again, it is built anew"
            ) from error

    def is_whole(self) -> bool:
        """Whether the file is there with the size it should have."""
        expected = self.size.tokens * np.dtype(self.dtype).itemsize
        return self.path.is_file() and self.path.stat().st_size == expected


class StreamWriter:
    """Writes a stream document by document.

    Where BOS and EOS are the same token (as in GPT-2), a single one stands between two documents."""

    def __init__(self, path: Path, dtype: str, bos_id: int, eos_id: int):
        self._file = open(path, "w+b")
        self._path, self._dtype = path, np.dtype(dtype)
        self._bos, self._eos = bos_id, eos_id
        self.size = StreamSize()
        self._before_last = self.size

    def __enter__(self) -> "StreamWriter":
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()

    def add(self, ids: list[int], text_bytes: int) -> None:
        """Append one document, given as its ids without BOS and EOS."""
        first = self.size.tokens == 0
        document = [self._bos, *ids, self._eos] if first or self._bos != self._eos else [*ids, self._eos]
        self._file.write(np.array(document, self._dtype).tobytes())
        size = self._before_last = self.size
        self.size = StreamSize(
            size.documents + 1,
            size.tokens + len(document),
            size.text_tokens + len(ids),
            size.bytes + text_bytes,
        )

    def move_last(self, other: "StreamWriter") -> None:
        """Take back the document added last and append it to another stream."""
        before, size = self._before_last, self.size
        self._file.seek(before.tokens * self._dtype.itemsize)
        document = np.frombuffer(self._file.read(), self._dtype)
        ids = document[-1 - (size.text_tokens - before.text_tokens) : -1].tolist()
        self._file.seek(before.tokens * self._dtype.itemsize)
        self._file.truncate()
        self.size = before
        other.add(ids, size.bytes - before.bytes)

    def finish(self) -> TokenStream:
        """Bring everything to the disk and close."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return TokenStream(self._path, self._dtype.str, self.size)
