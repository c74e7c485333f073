"""Rows of whole conversations whose last turn is an answer to be judged: pairs of them, or each with a score.

Unlike rows to train a language model on, these hold a conversation's last token too, the end of the answer, since that
is where its reward is read; and none is cut: what would be judged then is not what was preferred or scored. A record
that is too long is left out and counted. Positions restart with each conversation, so none sees another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dataset.cache.labels import LabelledStream
from dataset.cache.pairs import PairCache
from dataset.cache.scores import ScoreCache
from dataset.rows.packing import Packing, pack
from dataset.rows.rows import Rows, RowsInOrder, check_ids, check_rows, locate
from model.errors import SproutError


@dataclass(frozen=True)
class AnswerBatch:
    """Rows with R records in them, each of E conversations: E is 2 (chosen, rejected) for pairs, 1 for scored ones."""

    tokens: torch.Tensor  # [B, T] int64
    positions: torch.Tensor  # [B, T] int64, 0 where a conversation begins
    ends: torch.Tensor  # [E R] int64, where in tokens.flatten() conversations end: first the first of every record
    labels: torch.Tensor  # [R] float32, margins of pairs, or scores
    numbers: np.ndarray  # int64 [R], of each record among all
    records: int  # R
    read: int  # tokens of these conversations


class PackedAnswers:
    """The rows of judged answers, `rows.Packed`; records are numbered through all files.

    together: all files are one part and share rows.
    """

    def __init__(
        self,
        caches: Sequence[PairCache | ScoreCache],
        streams: Sequence[LabelledStream],
        max_seq_len: int,
        together: bool,
    ):
        check_rows(caches, max_seq_len)
        self._caches, self.streams, self.max_seq_len = list(caches), list(streams), max_seq_len
        self._examples = streams[0].EXAMPLES
        self.row_length = self._examples * max_seq_len
        # Tokens of each conversation, int32 [records, E] of each file; 0 in records that are left out.
        self._lengths = [stream.lengths().reshape(-1, self._examples) for stream in streams]
        for lengths in self._lengths:
            lengths[((lengths == 0) | (lengths > max_seq_len)).any(axis=1)] = 0
        self.left_out = [int((lengths[:, 0] == 0).sum()) for lengths in self._lengths]
        files = range(len(caches))
        self._parts = [list(files)] if together else [[file] for file in files]
        self._first = np.concatenate([[0], np.cumsum([len(lengths) for lengths in self._lengths])])
        self._packings = [self._pack(part) for part in self._parts]
        self.rows = np.array([len(packing) for packing in self._packings], np.int64)
        sums = [int(lengths.sum(dtype=np.int64)) for lengths in self._lengths]
        self.targets = np.array([sum(sums[file] for file in part) for part in self._parts], np.int64)

    @property
    def records_kept(self) -> int:
        return int(self._first[-1]) - sum(self.left_out)

    def _pack(self, part: list[int]) -> Packing:
        lengths = np.concatenate([self._lengths[file] for file in part])
        here = np.flatnonzero(lengths[:, 0]).astype(np.int64)
        return pack(lengths[here].sum(axis=1), self.row_length).of(here + self._first[part[0]])

    def gather(self, parts: np.ndarray, rows: np.ndarray) -> AnswerBatch:
        shape = len(parts), self.row_length
        tokens, positions = np.full(shape, self._caches[0].pad_id, np.int64), np.zeros(shape, np.int64)
        numbers = [self._packings[part][row] for part, row in zip(parts, rows, strict=True)]
        count = sum(map(len, numbers))
        ends, labels = np.zeros((self._examples, count), np.int64), np.zeros(count, np.float32)
        record, read = 0, 0
        mapped = {}
        for place, here in enumerate(numbers):
            start = 0
            for file, index in zip(*locate(self._first, here)):
                if file not in mapped:
                    mapped[file] = self.streams[file].map(), self.streams[file].labels()
                examples, of_file = mapped[file]
                labels[record] = of_file[index]
                for side in range(self._examples):
                    n = int(self._lengths[file][index, side])
                    ids, _ = examples[self._examples * index + side]
                    check_ids(ids, self._caches[file])
                    span = place, slice(start, start + n)
                    tokens[span], positions[span] = ids, np.arange(n)
                    start += n
                    ends[side, record] = place * self.row_length + start - 1
                record += 1
            read += start
        arrays = (torch.from_numpy(array) for array in (tokens, positions, ends.reshape(-1), labels))
        return AnswerBatch(*arrays, np.concatenate(numbers), count, read)

    def check_trainable(self) -> None:
        for cache, lengths in zip(self._caches, self._lengths, strict=True):
            if len(lengths) == 0:
                raise SproutError(f"{cache.source}: no record is left to train on, all are held out")
            if not lengths.any():
                raise SproutError(
                    f"{cache.source}: no record has at most {self.max_seq_len} tokens in each conversation:"
                    " give a larger --max_seq_len, or other data"
                )

    def summary(self, part: int, share: float, passes: float) -> list[str]:
        lines, what = [], "pairs" if self._examples == 2 else "scored answers"
        for file in self._parts[part]:
            lines.append(
                f"  {self._caches[file].source}: {len(self._lengths[file]):,} {what}, {self.left_out[file]:,} left out"
                f" as longer than {self.max_seq_len} tokens; {passes:.2f} passes"
            )
        empty = 1 - int(self.targets[part]) / (int(self.rows[part]) * self.row_length)
        return [*lines, f"    {empty:.1%} of the positions empty"]


class AnswerRows(Rows):
    """The rows of judged answers to train on, each E x `max_seq_len` tokens long."""

    targets_are = "tokens of conversations"

    def __init__(self, sources: Sequence[tuple[PairCache | ScoreCache, float | None]], max_seq_len: int, seed: int):
        caches = [cache for cache, _ in sources]
        together = all(weight is None for _, weight in sources)
        super().__init__(PackedAnswers(caches, [cache.train for cache in caches], max_seq_len, together), sources, seed)


class AnswerValidationRows(RowsInOrder):
    """The held-out rows of judged answers; `documents` counts the records, `left_out` those too long."""

    def __init__(self, caches: Sequence[PairCache | ScoreCache], max_seq_len: int):
        self.packed = PackedAnswers(caches, [cache.validation for cache in caches], max_seq_len, together=True)
        super().__init__(self.packed, caches, self.packed.records_kept)
        self.left_out = sum(self.packed.left_out)
