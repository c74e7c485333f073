"""A stream of chat examples of which one or several make a record with a number: the margin of a pair, a score.

train.<label>.bin     the number of each record, four bytes each, beside the files of `examples`
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from dataset.cache.examples import ExampleStream, ExampleWriter
from dataset.cache.streams import SummedFile, map_array

NUMBER = "<f4"


@dataclass(frozen=True)
class LabelledStream(ExampleStream):
    """Record i has the examples from `EXAMPLES` x i on, and number i of the file that `LABEL` names."""

    EXAMPLES: ClassVar[int]
    LABEL: ClassVar[str]

    @property
    def records(self) -> int:
        return self.size.documents // self.EXAMPLES

    def labels(self) -> np.ndarray:
        """float32 [records], read-only."""
        return map_array(*self._arrays()[3])

    def _arrays(self) -> tuple[tuple[Path, str, int], ...]:
        return (*super()._arrays(), (_labels_beside(self.path, self.LABEL), NUMBER, self.records))


class LabelledWriter(ExampleWriter):
    """Writes a stream record by record."""

    stream: type[LabelledStream]

    def __init__(self, path: Path, dtype: str):
        super().__init__(path, dtype)
        self._labels = SummedFile(_labels_beside(path, self.stream.LABEL))

    def __exit__(self, *exception) -> None:
        super().__exit__(*exception)
        self._labels.close()

    def add(self, examples: Sequence[tuple[np.ndarray, np.ndarray]], label: float) -> None:
        """Append a record: its examples, each as (ids [n], trained [n]), and its number."""
        for ids, trained in examples:
            super().add(ids, trained)
        self._labels.write(np.array([label], NUMBER).tobytes())

    def finish(self) -> LabelledStream:
        stream = super().finish()
        size = replace(stream.size, seals=(*stream.size.seals, self._labels.finish()))
        return self.stream(stream.path, stream.dtype, size)


def _labels_beside(path: Path, label: str) -> Path:
    return path.with_suffix(f".{label}.bin")
