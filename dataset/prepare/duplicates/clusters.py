"""Which documents are duplicates, and which one of them is kept: candidates by equal bands, verified, in clusters.

Two documents are linked if their exact keys are equal, or if they share a band and their shingles have a Jaccard
similarity of the threshold or more. A cluster is what hangs together by links; its lowest number is kept. So clusters
do not depend on the order of the documents, and what is kept has no duplicates left.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from dataset.prepare.duplicates.minhash import shingles
from dataset.prepare.parts import equal_together, slices

BLOCK = 2**17  # shingles that are compared at once: 1 MB, and a few times that at work
FIRST_BLOCKS = 8  # of a bucket, with which all its documents are compared


def find_duplicates(
    keys: np.ndarray,
    bands: np.ndarray,
    text_of: Callable[[int], str],
    threshold: float = 0.7,
    progress: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """For each document the number of the one that is kept in its place, int32 [N]; its own number if it is kept.

    keys: results of `text_key`, uint8 [N, 16]. bands: of `band_keys`, uint64 [N, 14]; both can be memory-mapped.
    text_of: the text of a number; it is asked for candidates only, some of them several times. progress: is called
    after each band.

    The values of a band are sorted in parts, so that memory grows by some 7 bytes a document only, if each band lies
    in a piece on disk. Equal keys are linked without a look at texts. A bucket (documents with one band equal) is
    compared pair by pair where pairs are not yet in one cluster. Of a bucket larger than `FIRST_BLOCKS` blocks (1 M
    shingles), each document is compared with the first blocks and its own, so that the work grows with its size and not
    with the square; which blocks are first depends on the order. What is kept is then looked at again, until nothing
    more is found.
    """
    clusters = _Clusters(np.arange(len(keys), dtype=np.int32))
    _link_equal(keys, clusters)
    while True:
        kept = clusters.settle()
        complete = _link_similar(bands, kept, clusters, text_of, threshold, progress)
        if (clusters.settle() == kept).all() or complete:
            return clusters.lowest


@dataclass
class _Clusters:
    """Union-find. lowest: a lower number of the same cluster for each document, or its own, int32 [N]."""

    lowest: np.ndarray

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """The lowest number of each one's cluster."""
        found = self.lowest[numbers]
        while (found != (lower := self.lowest[found])).any():
            found = lower
        self.lowest[numbers] = found
        return found

    def settle(self) -> np.ndarray:
        """Makes `lowest` the lowest number of each cluster; returns whether it is a document's own, bool [N]."""
        own = np.empty(len(self.lowest), bool)
        for here in slices(len(own)):
            numbers = np.arange(here.start, here.stop)
            own[here] = self.of(numbers) == numbers
        return own

    def together(self, numbers: np.ndarray) -> bool:
        lowest = self.of(numbers)
        return bool((lowest == lowest[0]).all())

    def link(self, number: int, others: np.ndarray) -> None:
        every = self.of(np.append(others, number))
        self.lowest[every] = every.min()


def _link_equal(keys: np.ndarray, clusters: _Clusters) -> None:
    for numbers in equal_together(keys[:, :8], np.ones(len(keys), bool)):
        high, low = np.ascontiguousarray(keys[numbers]).view(np.uint64).T
        order = np.lexsort((low, high))  # stable: equal keys stay in the order of their numbers
        for equal in _runs((high[order], low[order]), numbers[order]):
            clusters.lowest[equal] = equal[0]


def _link_similar(bands, kept: np.ndarray, clusters: _Clusters, text_of, threshold: float, progress) -> bool:
    """Links similar documents among those that are kept, bool [N]; returns whether every pair of every bucket was
    looked at."""
    complete = True
    for column in range(bands.shape[1]):
        for numbers in equal_together(bands[:, column], kept):
            values = bands[numbers, column]
            order = np.argsort(values, kind="stable")
            for bucket in _runs((values[order],), numbers[order]):
                if not clusters.together(bucket):
                    complete &= _compare_bucket(bucket, clusters, text_of, threshold)
        progress()
    return complete


def _runs(values: tuple[np.ndarray, ...], numbers: np.ndarray) -> Iterator[np.ndarray]:
    """The numbers of each run of two or more equal values. values: sorted together."""
    equal = np.ones(max(0, len(numbers) - 1), dtype=bool)
    for one in values:
        equal &= one[1:] == one[:-1]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], equal, [False]]).astype(np.int8)))
    for first, last in edges.reshape(-1, 2):
        yield numbers[first : last + 1]


@dataclass
class _Block:
    """Some documents of a bucket. found: the shingles of all, document after document, which begin at starts."""

    numbers: np.ndarray
    found: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray


def _blocks(bucket: np.ndarray, text_of) -> Iterator[_Block]:
    begin, sets, total = 0, [], 0
    for end, number in enumerate(bucket.tolist(), 1):
        sets.append(shingles(text_of(number)))
        total += len(sets[-1])
        if total >= BLOCK or end == len(bucket):
            sizes = np.array(list(map(len, sets)))
            yield _Block(bucket[begin:end], np.concatenate(sets), np.cumsum(sizes) - sizes, sizes)
            begin, sets, total = end, [], 0


def _compare_bucket(bucket: np.ndarray, clusters: _Clusters, text_of, threshold: float) -> bool:
    """Links the similar documents of a bucket; returns whether every pair was looked at."""
    first: list[_Block] = []
    complete = True
    for block in _blocks(bucket, text_of):
        for earlier in first:
            _compare(earlier, block, clusters, threshold)
        _compare(block, block, clusters, threshold)
        if len(first) < FIRST_BLOCKS:
            first.append(block)
        else:
            complete = False
    return complete


def _compare(one: _Block, other: _Block, clusters: _Clusters, threshold: float) -> None:
    """Links each document of `one` with those of `other` whose Jaccard similarity is high enough."""
    if clusters.together(np.append(one.numbers, other.numbers)):
        return
    vocabulary, own = np.unique(one.found, return_inverse=True)
    theirs = np.minimum(np.searchsorted(vocabulary, other.found), len(vocabulary) - 1)
    theirs[vocabulary[theirs] != other.found] = len(vocabulary)
    has = np.zeros(len(vocabulary) + 1, dtype=bool)
    for number, start, size in zip(one.numbers, one.starts, one.sizes):
        apart = clusters.of(other.numbers) != clusters.of(np.array([number]))
        if apart.any():
            has[own[start : start + size]] = True
            shared = np.add.reduceat(has[theirs], other.starts, dtype=np.int64)
            has[own[start : start + size]] = False
            similar = shared / (size + other.sizes - shared) >= threshold
            if (similar & apart).any():
                clusters.link(number, other.numbers[similar & apart])
