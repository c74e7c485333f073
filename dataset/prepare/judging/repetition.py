"""How much of a text repeats itself: the measures of Gopher (Rae et al., 2021, section A.1.1), by hashes in numpy."""

import numpy as np

_PRIME = np.uint64(0x9E3779B97F4A7C15)


class Grams:
    """The n-grams of a sequence of units (characters or words).

    ids: [N], equal for equal units. lengths: [N], in characters. The hashes have 64 bits: that two different n-grams of
    a million share one has a probability of 3e-8.
    """

    def __init__(self, ids: np.ndarray, lengths: np.ndarray):
        self._ends = np.concatenate([[0], np.cumsum(lengths)])
        mixed = (ids.astype(np.uint64) + np.uint64(1)) * _PRIME
        self._ids = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        self._hashes = {1: self._ids}

    def _hashes_of(self, n: int) -> np.ndarray:
        """uint64 [N - n + 1]"""
        if n not in self._hashes:
            shorter = self._hashes_of(n - 1)
            self._hashes[n] = shorter[:-1] * _PRIME + self._ids[n - 1 :]
        return self._hashes[n]

    def top(self, n: int) -> float:
        """The share of all characters that the commonest n-gram makes up; 0 where none comes three times.

        Gopher counts two as well. In a text of 60 words one phrase of four that comes twice would be too much then.
        """
        if len(self._ids) <= n:
            return 0.0
        _, first, counts = np.unique(self._hashes_of(n), return_index=True, return_counts=True)
        commonest = counts.argmax()
        if counts[commonest] < 3:
            return 0.0
        start = first[commonest]
        return float(counts[commonest] * (self._ends[start + n] - self._ends[start]) / self._ends[-1])

    def duplicated(self, n: int) -> float:
        """The share of all characters that stand in n-grams that were there before, from left to right without overlap.

        FineWeb's code counts so; Gopher's thresholds are meant for it there.
        """
        if len(self._ids) <= n:
            return 0.0
        hashes = self._hashes_of(n)
        repeats = np.ones(len(hashes), bool)
        repeats[np.unique(hashes, return_index=True)[1]] = False
        duplicated = end = 0
        for start in np.flatnonzero(repeats).tolist():
            if start >= end:
                end = start + n
                duplicated += self._ends[end] - self._ends[start]
        return float(duplicated / self._ends[-1])
