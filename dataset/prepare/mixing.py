"""Sources mixed by weight: how often each document is taken, and in which order.

A weight is a share of tokens. A source that is small for its weight is repeated, up to `max_epochs` times: about 4
passes over the same text are worth nearly as much as new text (https://arxiv.org/abs/2305.16264). A source that is
large for its weight gives evenly spread documents. Nothing is drawn at random: the same input gives the same mixture.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence

import numpy as np


def weights_by_temperature(tokens: Sequence[int], temperature: float) -> list[float]:
    """Weights in proportion to tokens ** (1 / temperature): 1 leaves the sizes as they are, more lifts the small ones.

    The largest source has weight 1. Source: https://arxiv.org/abs/1907.05019, section 4.2.
    """
    most = max(tokens, default=0)  # sizes relative to it have no power that overflows
    return [(count / most) ** (1 / temperature) if count else 0.0 for count in tokens]


def epochs_of(tokens: Sequence[int], weights: Sequence[float], max_epochs: float) -> list[float]:
    """How often each source is gone through: its shares of the tokens are then as the weights.

    Everything is used once at least, unless a source would have to be repeated more than `max_epochs` times for it.
    A source without tokens, or with weight 0, is left out.
    """
    used = [count > 0 and weight > 0 for count, weight in zip(tokens, weights)]
    if not any(used):
        return [0.0] * len(used)
    passes = [count / weight if use else 0.0 for count, weight, use in zip(tokens, weights, used)]  # tokens in all
    total = min(max(passes), max_epochs * min(size for size, use in zip(passes, used) if use))
    return [total / size if use else 0.0 for size, use in zip(passes, used)]


def copies_of(tokens: np.ndarray, epochs: float) -> np.ndarray:
    """How often each document of a source is taken, int16 [N]; those of a pass that is not whole are evenly spread.

    tokens: int [N]. The tokens taken after any prefix are within half a document of the share.
    """
    whole, share = divmod(epochs, 1)
    copies = np.full(len(tokens), int(whole), np.int16)
    seen = taken = 0
    for index, count in enumerate(map(int, tokens) if share > 0 else ()):  # a list of them all would take much memory
        seen += count
        if taken + count / 2 <= share * seen:
            copies[index] += 1
            taken += count
    return copies


def interleaved(
    sources: Sequence[Iterator], weights: Sequence[float], tokens_of: Callable[[object], int]
) -> Iterator[object]:
    """The items of all sources, each source in its own order, the one that has had least for its weight first.

    After any prefix every source that is not at its end has its share of the tokens, to within one item.
    """
    waiting = []
    for number, (source, weight) in enumerate(zip(sources, weights)):
        if weight > 0 and (item := next(source, None)) is not None:
            waiting.append((tokens_of(item) / 2 / weight, number, item))
    heapq.heapify(waiting)
    had = [0] * len(sources)
    while waiting:
        _, number, item = waiting[0]
        yield item
        had[number] += tokens_of(item)
        item = next(sources[number], None)
        if item is None:
            heapq.heappop(waiting)
        else:
            heapq.heapreplace(waiting, ((had[number] + tokens_of(item) / 2) / weights[number], number, item))
