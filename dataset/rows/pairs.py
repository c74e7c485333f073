"""Rows of preference pairs: both answers of a pair in one row, beside others, none seeing another.

A row is twice as long as the longest conversation may be, so that any pair fits. As in rows of single conversations
(`chat_rows`) positions restart with each, and what is left over is padding; `sequences` tells whose token each is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dataset.cache.pairs import PairCache, PairStream
from dataset.rows.chats import keep
from dataset.rows.packing import Packing, pack
from dataset.rows.rows import IGNORE, Rows, RowsInOrder, check_ids, check_rows, locate
from model.errors import SproutError


@dataclass(frozen=True)
class PairBatch:
    """Rows with P pairs in them: sequence i is the chosen conversation of pair i, sequence P + i the rejected one."""

    tokens: torch.Tensor  # [B, T] int64 inputs
    targets: torch.Tensor  # [B, T] int64, IGNORE but for the tokens of the answers
    positions: torch.Tensor  # [B, T] int64, 0 where a conversation begins
    sequences: torch.Tensor  # [B, T] int64, 0..2P-1; 0 in padding, which is no target
    margins: torch.Tensor  # [P] float32
    reference: torch.Tensor | None  # [2P] float32, log p of each answer under the reference, if that is known
    numbers: np.ndarray  # int64 [P], of each pair among all
    pairs: int  # P
    trained: int  # targets that are not IGNORE


class PackedPairs:
    """The rows of preference pairs, `rows.Packed`; pairs are numbered through all files.

    together: all files are one part and share rows.
    """

    def __init__(self, caches: Sequence[PairCache], streams: Sequence[PairStream], max_seq_len: int, together: bool):
        check_rows(caches, max_seq_len)
        self._caches, self.streams, self.max_seq_len = list(caches), list(streams), max_seq_len
        self.row_length = 2 * max_seq_len
        kept = [keep(stream, max_seq_len, cache.end_id) for cache, stream in zip(caches, streams, strict=True)]
        self.cut = [each.after_turn + each.inside_turn for each in kept]
        self._lengths = [each.lengths.reshape(-1, 2) for each in kept]  # tokens kept, int32 [pairs, 2] of each file
        trained = [each.trained for each in kept]
        for file, lengths in enumerate(self._lengths):
            # An answer without the other is compared with nothing.
            for pair, side in zip(*np.nonzero((lengths > 0) & (lengths == 0).any(axis=1, keepdims=True))):
                trained[file] -= int(streams[file].map()[2 * pair + side][1][1 : lengths[pair, side]].sum())
            lengths[(lengths == 0).any(axis=1)] = 0
        self.left_out = [int((lengths[:, 0] == 0).sum()) for lengths in self._lengths]
        files = range(len(caches))
        self._parts = [list(files)] if together else [[file] for file in files]
        self._first = np.concatenate([[0], np.cumsum([len(lengths) for lengths in self._lengths])])
        self._packings = [self._pack(part) for part in self._parts]
        self.rows = np.array([len(packing) for packing in self._packings], np.int64)
        self.targets = np.array([sum(trained[file] for file in part) for part in self._parts], np.int64)
        self.reference: np.ndarray | None = None  # float32 [pairs, 2], log p of chosen and rejected answers

    @property
    def pairs(self) -> int:
        """All pairs, those left out included."""
        return int(self._first[-1])

    @property
    def pairs_kept(self) -> int:
        return self.pairs - sum(self.left_out)

    def _pack(self, part: list[int]) -> Packing:
        lengths = np.concatenate([self._lengths[file] for file in part])
        here = np.flatnonzero(lengths[:, 0]).astype(np.int64)
        return pack((lengths[here] - 1).sum(axis=1), self.row_length).of(here + self._first[part[0]])

    def gather(self, parts: np.ndarray, rows: np.ndarray) -> PairBatch:
        shape = len(parts), self.row_length
        tokens = np.full(shape, self._caches[0].pad_id, np.int64)
        targets = np.full(shape, IGNORE, np.int64)
        positions, sequences = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        numbers = [self._packings[part][row] for part, row in zip(parts, rows, strict=True)]
        count = sum(map(len, numbers))
        margins, pair = np.zeros(count, np.float32), 0
        mapped = {}
        for place, here in enumerate(numbers):
            start = 0
            for file, index in zip(*locate(self._first, here)):
                if file not in mapped:
                    mapped[file] = self.streams[file].map(), self.streams[file].margins()
                examples, of_file = mapped[file]
                margins[pair] = of_file[index]
                for side in range(2):
                    n = int(self._lengths[file][index, side])
                    ids, trained = (array[:n] for array in examples[2 * index + side])
                    check_ids(ids, self._caches[file])
                    span = place, slice(start, start + n - 1)
                    tokens[span] = ids[:-1]
                    np.copyto(targets[span], ids[1:], where=trained[1:])
                    positions[span] = np.arange(n - 1)
                    sequences[span] = side * count + pair
                    start += n - 1
                pair += 1
        flat = np.concatenate(numbers)
        reference = None if self.reference is None else torch.from_numpy(self.reference[flat].T.reshape(-1).copy())
        arrays = (torch.from_numpy(array) for array in (tokens, targets, positions, sequences, margins))
        return PairBatch(*arrays, reference, flat, count, int(np.count_nonzero(targets != IGNORE)))

    def check_trainable(self) -> None:
        for cache, lengths in zip(self._caches, self._lengths, strict=True):
            if not lengths.any():
                raise SproutError(
                    f"{cache.source}: of no pair both answers begin within {self.max_seq_len + 1} tokens:"
                    " give a larger --max_seq_len, or other data"
                )

    def summary(self, part: int, share: float, passes: float) -> list[str]:
        lines = []
        for file in self._parts[part]:
            lines.append(
                f"  {self._caches[file].source}: {len(self._lengths[file]):,} pairs, {self.cut[file]:,} answers cut,"
                f" {self.left_out[file]:,} pairs left out as an answer begins too late; {passes:.2f} passes"
            )
        used = sum(int((np.maximum(self._lengths[file], 1) - 1).sum()) for file in self._parts[part])
        return [*lines, f"    {1 - used / (int(self.rows[part]) * self.row_length):.1%} of the positions empty"]


class PairRows(Rows):
    """The rows of preference pairs to train on, each 2 x `max_seq_len` tokens long."""

    targets_are = "tokens of answers"

    def __init__(self, sources: Sequence[tuple[PairCache, float | None]], max_seq_len: int, seed: int):
        caches = [cache for cache, _ in sources]
        together = all(weight is None for _, weight in sources)
        super().__init__(PackedPairs(caches, [cache.train for cache in caches], max_seq_len, together), sources, seed)


class PairValidationRows(RowsInOrder):
    """The held-out rows of preference pairs; `documents` counts the pairs, `left_out` those too long."""

    def __init__(self, caches: Sequence[PairCache], max_seq_len: int):
        self.packed = PackedPairs(caches, [cache.validation for cache in caches], max_seq_len, together=True)
        self.left_out = sum(self.packed.left_out)
        super().__init__(self.packed, caches, self.packed.pairs_kept)
