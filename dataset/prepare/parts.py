"""Large arrays, gone through in parts, so that the memory for what is computed does not grow with them."""

from collections.abc import Iterator

import numpy as np

PART = 2**18  # values that are sorted, or computed with, at once
NEVER = np.uint64(2**64 - 1)  # a value that is equal to none


def slices(count: int) -> Iterator[slice]:
    """The numbers from 0 to count - 1, `PART` at a time."""
    for start in range(0, count, PART):
        yield slice(start, min(start + PART, count))


def numbers_of(chosen: np.ndarray) -> Iterator[np.ndarray]:
    """The numbers of what is not zero in `chosen` [N], ascending, a part at a time."""
    for here in slices(len(chosen)):
        yield np.flatnonzero(chosen[here]) + here.start


def equal_together(values: np.ndarray, chosen: np.ndarray) -> Iterator[np.ndarray]:
    """The numbers of the chosen values, ascending, about `PART` at a time; those of equal values come together.

    values: uint64 [N], of which `NEVER` is left out, or the same as uint8 [N, 8]. chosen: bool [N].
    """
    count = -(-np.count_nonzero(chosen) // PART)
    for part in range(count):
        found = []
        for here in slices(len(values)):
            some = np.ascontiguousarray(values[here]).view(np.uint64).reshape(-1)
            wanted = chosen[here] & (some != NEVER) & (some % np.uint64(count) == part)
            found.append(np.flatnonzero(wanted) + here.start)
        yield np.concatenate(found)
