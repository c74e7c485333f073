"""A stream of chat examples on disk: ids, which of them are trained, and where each example begins.

train.bin             the ids of all examples, end to end, two or four bytes a token
train.trained.bin     1 where the token is trained, else 0, a byte a token
train.offsets.bin     the place of each example's first token, and that behind the last example: 8 bytes each
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dataset.cache.streams import SummedFile, check_seal, has_size, map_array
from model.errors import SproutError

FLAG, OFFSET = "|u1", "<i8"


@dataclass(frozen=True)
class ExampleSize:
    """What a stream holds: `trained` counts what can be predicted, so no example's first token."""

    documents: int = 0  # examples
    tokens: int = 0
    trained: int = 0
    # Of its files, once they are finished; None in caches of earlier versions.
    seals: tuple[tuple[int, int], ...] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Examples:
    """The arrays of a stream, memory-mapped: `examples[i]` is (ids [n], trained [n])."""

    ids: np.ndarray  # unsigned [tokens]
    trained: np.ndarray  # uint8 [tokens]
    offsets: np.ndarray  # int64 [examples + 1]

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        here = slice(self.offsets[index], self.offsets[index + 1])
        return self.ids[here], self.trained[here].astype(bool)


@dataclass(frozen=True)
class ExampleStream:
    """A finished stream: where it is and what it holds. `path` is that of the ids."""

    path: Path
    dtype: str
    size: ExampleSize
    _checked: list = field(default_factory=list, repr=False, compare=False)  # filled when it was

    def map(self) -> Examples:
        """The examples, read-only, checked and to be let go of soon as those of `streams.TokenStream.map`."""
        if not self._checked:
            for (path, _, _), seal in zip(self._arrays(), self.size.seals or ()):
                check_seal(path, seal)
            self._checked.append(True)
        return Examples(*(map_array(*array) for array in self._arrays()[:3]))

    def lengths(self) -> np.ndarray:
        """Tokens of each example, int32 [examples]. Raises SproutError where the offsets make no sense."""
        offsets = self.map().offsets
        lengths = np.diff(offsets)
        if offsets[0] != 0 or offsets[-1] != self.size.tokens or lengths.min(initial=0) < 0:
            raise SproutError(f"{self.path.parent} is damaged: its offsets contradict each other; delete this folder")
        return lengths.astype(np.int32)

    def is_whole(self) -> bool:
        """Whether the files are there with the sizes they should have."""
        return all(has_size(*array) for array in self._arrays())

    def _arrays(self) -> tuple[tuple[Path, str, int], ...]:
        """Path, type and length of each file."""
        trained, offsets = _beside(self.path)
        tokens = self.size.tokens
        return (self.path, self.dtype, tokens), (trained, FLAG, tokens), (offsets, OFFSET, self.size.documents + 1)


class ExampleWriter:
    """Writes a stream example by example."""

    def __init__(self, path: Path, dtype: str):
        self._path, self._dtype = path, np.dtype(dtype)
        self._ids, self._trained, self._offsets = (SummedFile(one) for one in (path, *_beside(path)))
        self._offsets.write(np.array([0], OFFSET).tobytes())
        self.size = ExampleSize()

    def __enter__(self) -> "ExampleWriter":
        return self

    def __exit__(self, *exception) -> None:
        for file in (self._ids, self._trained, self._offsets):
            file.close()

    def add(self, ids: np.ndarray, trained: np.ndarray) -> None:
        """Append one example, integers [n] and bool [n]."""
        self._ids.write(ids.astype(self._dtype).tobytes())
        self._trained.write(trained.astype(FLAG).tobytes())
        size = self.size
        self.size = ExampleSize(size.documents + 1, size.tokens + len(ids), size.trained + int(trained[1:].sum()))
        self._offsets.write(np.array([self.size.tokens], OFFSET).tobytes())

    def finish(self) -> ExampleStream:
        """Bring everything to the disk and close."""
        seals = tuple(file.finish() for file in (self._ids, self._trained, self._offsets))
        return ExampleStream(self._path, self._dtype.str, replace(self.size, seals=seals))


def _beside(path: Path) -> tuple[Path, Path]:
    """The files of flags and of offsets that belong to a file of ids."""
    return path.with_suffix(".trained.bin"), path.with_suffix(".offsets.bin")
