"""Rows of tokens: batches to train on in a shuffled order, and to validate on in the files' order.

    file --cache--> its records as tokens on disk --packed--> rows of one length --order--> batches

`Kind` names what differs between texts, conversations, pairs, ... on this way, and is where a new one is added. `Rows`
and `ValidationRows` are the same for all of them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from dataset.cache.texts import Cache
from dataset.rows.order import shuffled_order
from model.errors import SproutError


@dataclass(frozen=True)
class Batch:
    """Rows to train or score, as CPU tensors."""

    tokens: torch.Tensor  # [B, T] int64 inputs
    targets: torch.Tensor  # [B, T] int64, IGNORE where nothing is trained
    positions: torch.Tensor | None  # [B, T] int64, 0 begins a document that sees nothing before it; None: 0..T-1
    trained: int  # targets that are not IGNORE


class PackedRows(Protocol):
    """The rows of several files of one tokenizer, in parts: each file is a part, or all files are one and share rows.

    Weights are for parts, so files of different weights cannot share rows. `texts` and `packed` have one each.
    """

    row_length: int  # T
    rows: np.ndarray  # number of rows in each part, int64 [parts]
    targets: np.ndarray  # number of targets in all rows of each part, int64 [parts]
    records_kept: int  # documents, conversations, pairs, ... that are in the rows
    left_out: int  # those that are not, because they are too long
    bytes: int  # UTF-8 bytes that all targets stand for; 0 where the targets are only part of a text
    identity: Sequence[str]  # what decides the rows besides the files and `row_length`
    gather: Callable[[np.ndarray, np.ndarray], Batch]  # (parts [B], rows [B]): row rows[i] of part parts[i] for each i


@dataclass(frozen=True)
class Kind:
    """A kind of data: all that differs between kinds on the way from a file to a batch.

    A new kind is a reader of its records with a `RecordKind` in `dataset/records/` (listed in `kinds` there), and a
    file in `dataset/rows/` that ends in one of these. Where its records are conversations, `ExampleCache` stores them
    and `PackedRecords` makes rows of them: the file then says how many conversations a record has, whether it has a
    label, and what is printed. `pairs` is an example.
    """

    name: str  # in run.json
    cache: type[Cache]  # how its records are stored as tokens
    packed: type[PackedRows]  # how these lie in rows
    targets: str  # what the targets are called
    sample: str  # the file of the sample data that is taken where no --data_path is given
    left_out: str = ""  # what held-out records that fit in no row are called


def check_rows(caches: Sequence[Cache]) -> None:
    """Raises SproutError for caches whose records cannot share rows."""
    for cache in caches[1:]:
        if cache.tokenizer != caches[0].tokenizer:
            raise SproutError(f"{cache.source} and {caches[0].source} were tokenised with different tokenizers")


def check_ids(ids: np.ndarray, cache: Cache) -> None:
    """Raises SproutError if ids that were read from the cache lie outside the vocabulary."""
    if ids.max(initial=0) >= cache.vocab_size:
        raise SproutError(f"{cache.folder} is damaged: it holds ids outside the vocabulary; delete this folder")


def locate(starts: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(part, number in that part), both int64 [B], of things counted through all parts, part p from starts[p] on."""
    parts = np.searchsorted(starts, index, side="right") - 1
    return parts, index - starts[parts]


class Rows:
    """Rows to train on, of one or several files, shuffled, and mixed by weight if they have weights.

    sources: (cache, weight) pairs, all with a weight or none. Without weights an epoch is every row of every
        file once. With weights an epoch has as many rows, but a file's share of them is its weight: small
        files are passed over several times, large ones in part; the next epoch goes on where this one ended.
    """

    held_out: "ValidationRows | None" = None

    def __init__(self, kind: Kind, sources: Sequence[tuple[Cache, float | None]], max_seq_len: int, seed: int):
        self.kind, self.seed = kind, seed
        self.caches, weights = [cache for cache, _ in sources], [weight for _, weight in sources]
        weighted = any(weight is not None for weight in weights)
        streams = [cache.train for cache in self.caches]
        self.packed = kind.packed(self.caches, streams, max_seq_len, share_rows=not weighted)
        self.row_length = self.packed.row_length
        # What decides the rows: two runs with the same identity and seed see the same rows in the same order.
        self.identity = [f"{cache.folder.name}:{weight or ''}" for cache, weight in sources] + [*self.packed.identity]
        self._starts = np.concatenate([[0], np.cumsum(self.packed.rows)])
        self.packed.check_trainable()
        self._mixture = None
        if weighted:
            from dataset.rows.mixing import Mixture

            self._mixture = Mixture(weights, [cache.source for cache in self.caches])

    @property
    def rows_per_epoch(self) -> int:
        return int(self._starts[-1])

    @property
    def shares(self) -> np.ndarray:
        """Each part's share of the rows of an epoch [parts]."""
        return self._mixture.shares if self._mixture else self.packed.rows / self.rows_per_epoch

    @property
    def passes(self) -> np.ndarray:
        """How often an epoch goes over each part [parts]."""
        return self.shares * self.rows_per_epoch / self.packed.rows

    @property
    def tokens_per_epoch(self) -> int:
        """Targets in an epoch; with weights, on average. For texts, a row's first BOS counts, too."""
        return round(float(self.passes @ self.packed.targets))

    def summary(self) -> str:
        """What an epoch consists of, file by file."""
        rows = f"an epoch: {self.rows_per_epoch:,} rows of {self.row_length}"
        lines = [f"{rows}, {self.tokens_per_epoch:,} {self.kind.targets}"]
        for part, (share, passes) in enumerate(zip(self.shares, self.passes, strict=True)):
            lines += self.packed.summary(part, share, passes)
        return "\n".join(lines)

    def batch(self, epoch: int, places: Sequence[int]) -> Batch:
        """The rows at these places, 0..rows_per_epoch-1, of the shuffled epoch."""
        return self.packed.gather(*self.order(epoch, places))

    def order(self, epoch: int, places: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """(part, row in that part), both int64 [B], at these places of the shuffled epoch."""
        places = np.asarray(places, np.int64)
        n = self.rows_per_epoch
        if self._mixture is None:
            return locate(self._starts, shuffled_order(places, n, self.seed, epoch))
        if places.size and (places.min() < 0 or places.max() >= n):
            raise IndexError(f"a place lies outside 0..{n - 1}")
        return self._mixture.order(epoch * n + places, self.packed.rows, self.seed)


class ValidationRows:
    """The held-out rows of one or several files, in order.

    Attributes: `documents` and `left_out` (records that are in the rows, and that are not); of all rows that are held
    out `held`, `tokens` (targets), and `bytes` (UTF-8 that these stand for; 0 where they are only part of a text).
    """

    def __init__(self, kind: Kind, caches: Sequence[Cache], max_seq_len: int):
        self.packed = kind.packed(caches, [cache.validation for cache in caches], max_seq_len, share_rows=True)
        self.documents, self.left_out = self.packed.records_kept, self.packed.left_out
        self.identity = [cache.folder.name for cache in caches] + [*self.packed.identity]
        self.tokens, self.bytes = int(self.packed.targets.sum()), self.packed.bytes
        self._starts = np.concatenate([[0], np.cumsum(self.packed.rows)])
        self.held = self._kept = int(self._starts[-1])

    def __len__(self) -> int:
        """Number of rows that are scored; 0 where nothing is held out."""
        return self._kept

    def keep(self, most: int) -> None:
        """Leaves `most` rows, evenly spaced; how many documents are in them is then known in proportion only."""
        self.documents, self._kept = round(self.documents * most / self._kept), most

    def bytes_of(self, targets: int) -> int:
        """The bytes of the `targets` in the rows that are left: exact for all rows, else as many a target as in all."""
        return self.bytes if self._kept == self.held else round(self.bytes * targets / self.tokens)

    def places(self, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """(part, row in that part), both int64 [B], of the rows with these numbers, 0..len-1."""
        return locate(self._starts, np.asarray(indices, np.int64) * self.held // max(1, self._kept))

    def batch(self, indices: Sequence[int]) -> Batch:
        return self.packed.gather(*self.places(indices))

    def batches(self, batch_size: int, first: int = 0, every: int = 1) -> Iterator[Batch]:
        """All rows, in order; the last batch may be smaller. Of the batches, only number `first` and each `every`th."""
        for start in range(first * batch_size, len(self), every * batch_size):
            yield self.batch(range(start, min(start + batch_size, len(self))))
