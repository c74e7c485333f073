"""From token streams to batches of packed rows.

A file's stream is BOS d1 EOS BOS d2 EOS ...; call S what follows its first BOS. Row r of length T has the
slice S[rT : (r+1)T] as targets, and BOS followed by all of the slice but its last token as inputs:

    inputs    BOS  s0  s1 ... s(T-2)
    targets   s0   s1  s2 ... s(T-1)

So every row begins with BOS, any row is found without a table, long documents are split and nothing is
dropped: in one epoch every token is a target exactly once. The one exception is a BOS that comes first in its
row. The row's own BOS stands there already, and learning that BOS follows BOS would teach a model to begin
twice, so that one target is `IGNORE`. The end of a file's last row is padding, and `IGNORE` too.

Which row comes when is a pure function of (seed, epoch, position): resuming needs no replay.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dataset.cache import TokenCache
from dataset.shuffle import derive_key, permuted
from dataset.streams import TokenStream
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


class PackedStreams:
    """The rows of several streams of one tokenizer, by stream and row number."""

    def __init__(self, caches: Sequence[TokenCache], streams: Sequence[TokenStream], row_length: int):
        if row_length < 1:
            raise UsageError(f"rows must hold at least one token, not {row_length}")
        for cache in caches[1:]:
            if cache.tokenizer != caches[0].tokenizer:
                raise SproutError(f"{cache.source} and {caches[0].source} were tokenised with two tokenizers")
        self._caches, self.streams, self.row_length = list(caches), list(streams), row_length
        self.targets = np.array([max(stream.size.tokens - 1, 0) for stream in streams], np.int64)
        self.rows = -(-self.targets // row_length)
        self._bos, self._eos, self._pad = caches[0].bos_id, caches[0].eos_id, caches[0].pad_id

    def gather(self, files: np.ndarray, rows: np.ndarray) -> Batch:
        """Row `rows[i]` of stream `files[i]` for every i, both [B]. Raises SproutError for a damaged stream."""
        targets = np.full((len(files), self.row_length), IGNORE, np.int64)
        for file in np.unique(files):
            stream = self.streams[file].map()
            for place in np.flatnonzero(files == file):
                start = 1 + int(rows[place]) * self.row_length  # 1: the stream's first BOS is no target
                part = stream[start : start + self.row_length]
                targets[place, : len(part)] = part
            if targets.max(initial=0, where=(files == file)[:, None]) >= self._caches[file].vocab_size:
                folder = self._caches[file].folder
                raise SproutError(f"{folder} is damaged: it holds ids outside the vocabulary; delete this folder")
        tokens = np.empty_like(targets)
        tokens[:, 0] = self._bos
        tokens[:, 1:] = targets[:, :-1]
        tokens[tokens == IGNORE] = self._pad
        if self._bos != self._eos:  # else a document's end, which is trained wherever it stands
            targets[targets[:, 0] == self._bos, 0] = IGNORE
        trained = int(np.count_nonzero(targets != IGNORE))
        return Batch(torch.from_numpy(tokens), torch.from_numpy(targets), None, trained)


class TextRows:
    """The training rows of one or several files, shuffled, and mixed by weight if they have weights.

    sources: (cache, weight) pairs, all with a weight or none. Without weights an epoch is every row of every
        file once. With weights an epoch has as many rows, but a file's share of them is its weight: small
        files are passed over several times, large ones in part; the next epoch goes on where this one ended.
    row_length: tokens in a row.
    """

    def __init__(self, sources: Sequence[tuple[TokenCache, float | None]], row_length: int, seed: int):
        caches = [cache for cache, _ in sources]
        self._packed = PackedStreams(caches, [cache.train for cache in caches], row_length)
        self._names = [str(cache.source) for cache in caches]
        # What decides the rows: two runs with the same identity and seed see the same rows in the same order.
        self.identity = [f"{cache.folder.name}:{weight or ''}" for cache, weight in sources]
        self._starts = np.concatenate([[0], np.cumsum(self._packed.rows)])
        self.row_length, self.seed = row_length, seed
        for name, rows in zip(self._names, self._packed.rows, strict=True):
            if rows == 0:
                raise SproutError(f"{name}: no document is left to train on, all are held out")

        weights = [weight for _, weight in sources]
        self._places = None
        if any(weight is not None for weight in weights):
            self._places = places_in_block(weights)
            for name, places in zip(self._names, self._places, strict=True):
                if places == 0:
                    raise UsageError(f"{name}: its weight is below a {BLOCK}th of all, it would never be seen")

    @property
    def rows_per_epoch(self) -> int:
        return int(self._starts[-1])

    @property
    def shares(self) -> np.ndarray:
        """Each file's share of the rows of an epoch [files]."""
        return self._packed.rows / self.rows_per_epoch if self._places is None else self._places / BLOCK

    @property
    def passes(self) -> np.ndarray:
        """How often an epoch goes over each file [files]."""
        return self.shares * self.rows_per_epoch / self._packed.rows

    @property
    def tokens_per_epoch(self) -> int:
        """Targets in an epoch, a BOS first in its row counted too; with weights, on average."""
        return round(float(self.passes @ self._packed.targets))

    def summary(self) -> str:
        """What an epoch consists of, a line a file."""
        lines = [f"an epoch: {self.rows_per_epoch:,} rows of {self.row_length}, {self.tokens_per_epoch:,} tokens"]
        for name, share, passes in zip(self._names, self.shares, self.passes, strict=True):
            lines.append(f"  {name}: {share:.1%} of the rows, {passes:.2f} passes over the file")
        return "\n".join(lines)

    def batch(self, epoch: int, positions: Sequence[int]) -> Batch:
        """The rows at these positions, 0..rows_per_epoch-1, of the shuffled epoch."""
        return self._packed.gather(*self.order(epoch, positions))

    def order(self, epoch: int, positions: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """(file, row in that file), both int64 [B], at these positions of the shuffled epoch."""
        positions = np.asarray(positions, np.int64)
        n = self.rows_per_epoch
        if self._places is None:
            return self._find(permuted(positions, n, derive_key(self.seed, _WHOLE_EPOCH, epoch)))
        if positions.size and (positions.min() < 0 or positions.max() >= n):
            raise IndexError(f"a position lies outside 0..{n - 1}")
        return weighted_order(epoch * n + positions, self._packed.rows, self._places, self.seed)

    def _find(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        files = np.searchsorted(self._starts, index, side="right") - 1
        return files, index - self._starts[files]


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


class ValidationRows:
    """The held-out rows of one or several files, in order.

    Attributes: `bytes` of UTF-8 in their text (for bits per byte), `documents`, `tokens` (targets).
    """

    def __init__(self, caches: Sequence[TokenCache], row_length: int):
        self._packed = PackedStreams(caches, [cache.validation for cache in caches], row_length)
        self.identity = [cache.folder.name for cache in caches]
        sizes = [cache.validation.size for cache in caches]
        self.bytes = sum(size.bytes for size in sizes)
        self.documents = sum(size.documents for size in sizes)
        self.tokens = int(self._packed.targets.sum())
        self._starts = np.concatenate([[0], np.cumsum(self._packed.rows)])

    def __len__(self) -> int:
        """Number of rows; 0 where nothing is held out."""
        return int(self._starts[-1])

    def batch(self, indices: Sequence[int]) -> Batch:
        """The rows with these numbers, 0..len-1."""
        index = np.asarray(indices, np.int64)
        files = np.searchsorted(self._starts, index, side="right") - 1
        return self._packed.gather(files, index - self._starts[files])

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """All rows, in order; the last batch may be smaller."""
        for start in range(0, len(self), batch_size):
            yield self.batch(range(start, min(start + batch_size, len(self))))
