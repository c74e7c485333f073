"""From what is tokenised to batches of rows: shuffled and mixed for training, in order for validation.

Which row comes when is a pure function of (seed, epoch, position): resuming needs no replay. That is `Rows`,
whatever the rows are made of; those of texts are made here (`PackedStreams`), those of conversations in `chat_rows`.

Rows of texts. A file's stream is BOS d1 EOS BOS d2 EOS ...; call S what follows its first BOS. Row r of length T has
the slice S[rT : (r+1)T] as targets, and BOS followed by all of the slice but its last token as inputs:

    inputs    BOS  s0  s1 ... s(T-2)
    targets   s0   s1  s2 ... s(T-1)

So every row begins with BOS, any row is found without a table, long documents are split and nothing is
dropped: in one epoch every token is a target exactly once. The one exception is a BOS that comes first in its
row. The row's own BOS stands there already, and learning that BOS follows BOS would teach a model to begin
twice, so that one target is `IGNORE`. The end of a file's last row is padding, and `IGNORE` too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from dataset.cache.streams import TokenStream
from dataset.cache.texts import Cache, TokenCache
from dataset.rows.shuffle import derive_key, permuted
from model.errors import SproutError, UsageError

IGNORE = -100  # the target that trains nothing; what `torch.nn.functional.cross_entropy` ignores by default

# Weights hold exactly within every block of this many rows: fine enough for weights of a tenth of a percent.
BLOCK = 1000

# The first part of a shuffle's key after the seed: no two kinds of shuffle share one.
_WHOLE_EPOCH, _PLACES_OF_A_BLOCK, _ROWS_OF_A_FILE = range(3)


@dataclass(frozen=True)
class Batch:
    """Rows to train or score, as CPU tensors."""

    tokens: torch.Tensor  # [B, T] int64 inputs
    targets: torch.Tensor  # [B, T] int64, IGNORE where nothing is trained
    positions: torch.Tensor | None  # [B, T] int64, 0 begins a document that sees nothing before it; None: 0..T-1
    trained: int  # targets that are not IGNORE


class Packed(Protocol):
    """The rows of several files of one tokenizer, in parts: each file is one, or all together are.

    Weights are for parts, so files of different weights cannot be one.
    """

    row_length: int  # T
    rows: np.ndarray  # of each part, int64 [parts]
    targets: np.ndarray  # in all rows of each part, int64 [parts]

    def gather(self, parts: np.ndarray, rows: np.ndarray) -> Batch:
        """Row `rows[i]` of part `parts[i]` for every i, both [B]. Raises SproutError for a damaged cache."""

    def check_trainable(self) -> None:
        """Raises SproutError for a file that nothing can be learned from."""

    def summary(self, part: int, share: float, passes: float) -> list[str]:
        """Lines on the files of a part, which has this share of the rows and is passed over so often in an epoch."""


def check_rows(caches: Sequence[Cache], row_length: int) -> None:
    """Raises UsageError or SproutError for rows that cannot be made of these caches."""
    if row_length < 1:
        raise UsageError(f"rows must hold at least one token, not {row_length}")
    for cache in caches[1:]:
        if cache.tokenizer != caches[0].tokenizer:
            raise SproutError(f"{cache.source} and {caches[0].source} were tokenised with two tokenizers")


def check_ids(ids: np.ndarray, cache: Cache) -> None:
    """Raises SproutError if ids that were read from the cache lie outside the vocabulary."""
    if ids.max(initial=0) >= cache.vocab_size:
        raise SproutError(f"{cache.folder} is damaged: it holds ids outside the vocabulary; delete this folder")


class PackedStreams:
    """The rows of texts, `Packed`, each file a part: slices of streams, one of each cache."""

    def __init__(self, caches: Sequence[TokenCache], streams: Sequence[TokenStream], row_length: int):
        check_rows(caches, row_length)
        self._caches, self.streams, self.row_length = list(caches), list(streams), row_length
        self.targets = np.array([max(stream.size.tokens - 1, 0) for stream in streams], np.int64)
        self.rows = -(-self.targets // row_length)
        self._bos, self._eos, self._pad = caches[0].bos_id, caches[0].eos_id, caches[0].pad_id

    def gather(self, parts: np.ndarray, rows: np.ndarray) -> Batch:
        targets = np.full((len(parts), self.row_length), IGNORE, np.int64)
        for file in np.unique(parts):
            stream = self.streams[file].map()
            here = np.flatnonzero(parts == file)
            for place in here:
                start = 1 + int(rows[place]) * self.row_length  # 1: the stream's first BOS is no target
                piece = stream[start : start + self.row_length]
                targets[place, : len(piece)] = piece
            check_ids(targets[here], self._caches[file])
        tokens = np.empty_like(targets)
        tokens[:, 0] = self._bos
        tokens[:, 1:] = targets[:, :-1]
        tokens[tokens == IGNORE] = self._pad
        if self._bos != self._eos:  # else a document's end, which is trained wherever it stands
            targets[targets[:, 0] == self._bos, 0] = IGNORE
        trained = int(np.count_nonzero(targets != IGNORE))
        return Batch(torch.from_numpy(tokens), torch.from_numpy(targets), None, trained)

    def check_trainable(self) -> None:
        for cache, rows in zip(self._caches, self.rows, strict=True):
            if rows == 0:
                raise SproutError(f"{cache.source}: no document is left to train on, all are held out")

    def summary(self, part: int, share: float, passes: float) -> list[str]:
        return [f"  {self._caches[part].source}: {share:.1%} of the rows, {passes:.2f} passes over the file"]


class Rows:
    """Rows to train on, of one or several files, shuffled, and mixed by weight if they have weights.

    packed: the rows of the files; with weights, each file is a part.
    sources: (cache, weight) pairs, all with a weight or none. Without weights an epoch is every row of every
        file once. With weights an epoch has as many rows, but a file's share of them is its weight: small
        files are passed over several times, large ones in part; the next epoch goes on where this one ended.
    """

    targets_are = "tokens"

    def __init__(self, packed: Packed, sources: Sequence[tuple[Cache, float | None]], seed: int):
        self.packed, self.row_length, self.seed = packed, packed.row_length, seed
        self.caches = [cache for cache, _ in sources]
        # What decides the rows: two runs with the same identity and seed see the same rows in the same order.
        self.identity = [f"{cache.folder.name}:{weight or ''}" for cache, weight in sources]
        self._starts = np.concatenate([[0], np.cumsum(packed.rows)])
        packed.check_trainable()
        weights = [weight for _, weight in sources]
        self._places = None
        if any(weight is not None for weight in weights):
            self._places = places_in_block(weights)
            for (cache, _), places in zip(sources, self._places, strict=True):
                if places == 0:
                    raise UsageError(f"{cache.source}: its weight is below a {BLOCK}th of all, it would never be seen")

    @property
    def rows_per_epoch(self) -> int:
        return int(self._starts[-1])

    @property
    def shares(self) -> np.ndarray:
        """Each part's share of the rows of an epoch [parts]."""
        return self.packed.rows / self.rows_per_epoch if self._places is None else self._places / BLOCK

    @property
    def passes(self) -> np.ndarray:
        """How often an epoch goes over each part [parts]."""
        return self.shares * self.rows_per_epoch / self.packed.rows

    @property
    def tokens_per_epoch(self) -> int:
        """Targets in an epoch; with weights, on average."""
        return round(float(self.passes @ self.packed.targets))

    def summary(self) -> str:
        """What an epoch consists of, file by file."""
        rows = f"an epoch: {self.rows_per_epoch:,} rows of {self.row_length}"
        lines = [f"{rows}, {self.tokens_per_epoch:,} {self.targets_are}"]
        for part, (share, passes) in enumerate(zip(self.shares, self.passes, strict=True)):
            lines += self.packed.summary(part, share, passes)
        return "\n".join(lines)

    def batch(self, epoch: int, positions: Sequence[int]) -> Batch:
        """The rows at these positions, 0..rows_per_epoch-1, of the shuffled epoch."""
        return self.packed.gather(*self.order(epoch, positions))

    def order(self, epoch: int, positions: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """(part, row in that part), both int64 [B], at these positions of the shuffled epoch."""
        positions = np.asarray(positions, np.int64)
        n = self.rows_per_epoch
        if self._places is None:
            return locate(self._starts, permuted(positions, n, derive_key(self.seed, _WHOLE_EPOCH, epoch)))
        if positions.size and (positions.min() < 0 or positions.max() >= n):
            raise IndexError(f"a position lies outside 0..{n - 1}")
        return weighted_order(epoch * n + positions, self.packed.rows, self._places, self.seed)


class TextRows(Rows):
    """The rows of texts to train on, each `row_length` tokens long; `tokens_per_epoch` counts a row's first BOS too."""

    def __init__(self, sources: Sequence[tuple[TokenCache, float | None]], row_length: int, seed: int):
        caches = [cache for cache, _ in sources]
        super().__init__(PackedStreams(caches, [cache.train for cache in caches], row_length), sources, seed)


def locate(starts: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(part, number in that part), both int64 [B], of things counted through all parts, part p from starts[p] on."""
    parts = np.searchsorted(starts, index, side="right") - 1
    return parts, index - starts[parts]


def places_in_block(weights: Sequence[float]) -> np.ndarray:
    """How many of the `BLOCK` rows of a block each file gets: by largest remainder, so the sum is exact."""
    exact = np.array(weights, float) / sum(weights) * BLOCK
    places = np.floor(exact).astype(np.int64)
    most_short = np.argsort(places - exact, kind="stable")
    places[most_short[: BLOCK - places.sum()]] += 1
    return places


def weighted_order(
    positions: np.ndarray, rows: np.ndarray, places: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(file, row) at positions counted from the start of the run, all int64 [B].

    rows: number of rows of each file; places: of `places_in_block`. Every block shuffles anew which of its
    places belong to which file. The places of a file, counted through all blocks, take its rows in a shuffled
    order, and in another one for every further pass over the file.
    """
    block, offset = np.divmod(positions, BLOCK)
    place = permuted(offset, BLOCK, derive_key(seed, _PLACES_OF_A_BLOCK, block))
    first_place = np.cumsum(places) - places
    files = np.searchsorted(first_place, place, side="right") - 1
    turn = block * places[files] + place - first_place[files]  # the how-manieth row of its file this is
    result = np.empty_like(turn)
    for file in np.unique(files):
        here = files == file
        passes, index = np.divmod(turn[here], rows[file])
        result[here] = permuted(index, int(rows[file]), derive_key(seed, _ROWS_OF_A_FILE, int(file), passes))
    return files, result


class RowsInOrder:
    """The held-out rows of one or several files, in order.

    Attributes: `documents`, `tokens` (targets), and `bytes` (of UTF-8 that all targets together stand for; 0 where they
    are part of a text only).
    """

    bytes = 0

    def __init__(self, packed: Packed, caches: Sequence[Cache], documents: int):
        self._packed, self.documents = packed, documents
        self.identity = [cache.folder.name for cache in caches]
        self.tokens = int(packed.targets.sum())
        self._starts = np.concatenate([[0], np.cumsum(packed.rows)])

    def __len__(self) -> int:
        """Number of rows; 0 where nothing is held out."""
        return int(self._starts[-1])

    def batch(self, indices: Sequence[int]) -> Batch:
        """The rows with these numbers, 0..len-1."""
        return self._packed.gather(*locate(self._starts, np.asarray(indices, np.int64)))

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """All rows, in order; the last batch may be smaller."""
        for start in range(0, len(self), batch_size):
            yield self.batch(range(start, min(start + batch_size, len(self))))


class ValidationRows(RowsInOrder):
    """The held-out rows of texts."""

    def __init__(self, caches: Sequence[TokenCache], row_length: int):
        sizes = [cache.validation.size for cache in caches]
        packed = PackedStreams(caches, [cache.validation for cache in caches], row_length)
        super().__init__(packed, caches, sum(size.documents for size in sizes))
        self.bytes = sum(size.bytes for size in sizes)
