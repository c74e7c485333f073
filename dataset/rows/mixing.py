"""Rows of several files, mixed by weight: a pure function of (seed, position), as the shuffles of `order`."""

from collections.abc import Sequence

import numpy as np

from dataset.rows.order import PLACES_OF_A_BLOCK, ROWS_OF_A_FILE, derive_key, permuted
from model.errors import UsageError

# Weights hold exactly within every block of this many rows: fine enough for weights of a tenth of a percent.
BLOCK = 1000


class Mixture:
    """The weights of files, as places in each block of rows.

    weights: one for each file. names: the files, for the `UsageError` about a weight that is too small to matter.
    """

    def __init__(self, weights: Sequence[float], names: Sequence):
        self._places = places_in_block(weights)
        for name, places in zip(names, self._places, strict=True):
            if places == 0:
                raise UsageError(f"{name}: its weight is below a {BLOCK}th of all, it would never be seen")

    @property
    def shares(self) -> np.ndarray:
        """Each file's share of the rows [files]."""
        return self._places / BLOCK

    def order(self, positions: np.ndarray, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """(file, row) at positions counted from the start of the run; see `weighted_order`."""
        return weighted_order(positions, rows, self._places, seed)


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

    rows: number of rows of each file; places: see `places_in_block`. Every block shuffles anew which of its places
    belong to which file. The places of a file, counted through all blocks, take its rows in a shuffled order, and in
    another one for every further pass over the file.
    """
    block, offset = np.divmod(positions, BLOCK)
    place = permuted(offset, BLOCK, derive_key(seed, PLACES_OF_A_BLOCK, block))
    first_place = np.cumsum(places) - places
    files = np.searchsorted(first_place, place, side="right") - 1
    count = block * places[files] + place - first_place[files]  # places that the file had before this one
    result = np.empty_like(count)
    for file in np.unique(files):
        here = files == file
        passes, index = np.divmod(count[here], rows[file])
        result[here] = permuted(index, int(rows[file]), derive_key(seed, ROWS_OF_A_FILE, int(file), passes))
    return files, result
