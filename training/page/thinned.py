"""A long series as few points: what a picture of some hundred pixels can show."""

from collections.abc import Sequence

import numpy as np


def thinned(x: Sequence[float], y: Sequence[float], most: int) -> tuple[np.ndarray, ...]:
    """(x, mean, least, largest), each of at most `most` points: those of runs of neighbours of equal size.

    x grows. Nothing is lost of a peak, since `largest` has it. A series of up to `most` points comes back as it is.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(x) <= most:
        return x, y, y, y
    starts = np.linspace(0, len(x), most + 1).astype(int)[:-1]
    sizes = np.diff(np.append(starts, len(x)))
    mean = np.add.reduceat(y, starts) / sizes
    return np.add.reduceat(x, starts) / sizes, mean, np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)


def spread_out(items: Sequence, most: int) -> list:
    """At most `most` of the items, evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]
