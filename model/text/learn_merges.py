"""The merges of byte-pair encoding, learnt from counted words in numpy arrays (https://arxiv.org/abs/1508.07909).

The most frequent pair of neighbours within a word becomes a token, again and again. A merge changes the words only
around its own places, so the places of a pair are kept once they are found. All places of a pair come into being at
once, when the younger of its two tokens does; from then on they only get fewer. A count in the heap is therefore never
too small, and a pair whose true count equals the largest in the heap is the best. Of equal counts, the older pair
(smaller ids) is taken.

Most pairs are so rare that their turn never comes. So only pairs with a certain count are kept at all. When they are
used up, the least count is lowered, and the words are looked through anew: that is exact, too, since a pair that was
rarer when it came into being has not become more frequent.
"""

import heapq
from collections.abc import Collection

import numpy as np

BOUNDARY = -1  # between two words; no merge reaches across
MERGED = -2  # a place inside a token; at its last place stands -(how many places it has)
MIN_COUNT = 2  # a pair seen once is chance
FIRST_SHARE, LOWERED_BY = 1000, 8  # the least count is this fraction of all tokens at first, and falls by this factor
CHUNK = 2**22  # places that are looked through at once; a temporary array of it takes 32 MB
BUCKETS = 2**20


def learn_merges(
    places: np.ndarray,
    spelling: list[str],
    count: int,
    max_token_bytes: int,
    weights: np.ndarray | None = None,
    refused: Collection[tuple[int, int]] = (),
    refused_tokens: Collection[str] = (),
) -> list[tuple[int, int]]:
    """The `count` best merges, as pairs of ids; the n-th makes the token `len(spelling) + n`.

    places: integers [N], the ids of the words with `BOUNDARY` between them and at both ends. It is not changed.
    spelling: each id in the byte alphabet, one character a byte. A merge that would spell an existing token
        is not made: texts that have that token could not be encoded as before.
    weights: int32 [N], how often the word of each place occurs; None is once.
    refused, refused_tokens: pairs that are not merged, and spellings that get no token.

    In `a a a` there are two pairs, as the `tokenizers` library has it. Memory: about 12 bytes a place, and 4 more
    with ids past 32,767.
    """
    text = _Text(places, len(spelling) + count, weights)
    spelling, known = list(spelling), {*spelling, *refused_tokens}
    merges: list[tuple[int, int]] = []
    least = max(MIN_COUNT, text.total() // FIRST_SHARE)
    found = text.frequent_pairs(least)
    heap = [(-number, pair) for pair, (number, _) in found.items()]
    heapq.heapify(heap)
    while len(merges) < count:
        if not heap:
            if least == MIN_COUNT:
                break
            least = max(MIN_COUNT, least // LOWERED_BY)
            found = text.frequent_pairs(least)
            heap = [(-number, pair) for pair, (number, _) in found.items()]
            heapq.heapify(heap)
            continue
        believed, pair = heapq.heappop(heap)
        token = spelling[pair[0]] + spelling[pair[1]]
        _, at = found.pop(pair)
        if token in known or len(token) > max_token_bytes or pair in refused:
            continue
        at, number = text.still(at, pair)
        if number < -believed:
            if number >= least:
                found[pair] = number, at
                heapq.heappush(heap, (-number, pair))
            continue
        new = len(spelling)
        spelling.append(token)
        known.add(token)
        merges.append(pair)
        for each, (number, where) in text.merge(at, pair, new, least).items():
            found[each] = number, where
            heapq.heappush(heap, (-number, each))
    return merges


class _Text:
    """Words while they are merged. A token stands at its first place; `units` says how many places it has."""

    def __init__(self, places: np.ndarray, ids: int, weights: np.ndarray | None):
        self.tokens = places.astype(np.int16 if ids < 2**15 else np.int32)  # a copy: it is changed
        self.weights = weights
        self.units = np.ones(ids, dtype=np.int32)

    def total(self) -> int:
        """How many tokens there are, words counted as often as they occur."""
        there = self.tokens >= 0
        return int(there.sum() if self.weights is None else self.weights.sum(where=there, dtype=np.int64))

    def following(self, at: np.ndarray) -> np.ndarray:
        return at + self.units[self.tokens[at]]

    def preceding(self, at: np.ndarray) -> np.ndarray:
        last = at - 1
        return last + np.minimum(self.tokens[last] + 1, 0)

    def count(self, at: np.ndarray) -> int:
        return len(at) if self.weights is None else int(self.weights[at].sum(dtype=np.int64))

    def sums(self, ids: np.ndarray, at: np.ndarray, length: int) -> np.ndarray:
        """[length]: how often each id occurs, as the words at these places do. Exact below 2^53."""
        return np.bincount(ids, None if self.weights is None else self.weights[at], minlength=length)

    def still(self, at: np.ndarray, pair: tuple[int, int]) -> tuple[np.ndarray, int]:
        """The places of these at which the pair still is, and their count."""
        at = at[self.tokens[at] == pair[0]]
        at = at[self.tokens[at + self.units[pair[0]]] == pair[1]]
        return at, self.count(at)

    def merge(self, at: np.ndarray, pair: tuple[int, int], new: int, least: int) -> dict:
        """Makes the pair at these places the token `new`; returns its pairs with both neighbours, as `_grouped`."""
        left, right = (int(self.units[each]) for each in pair)
        if pair[0] == pair[1]:
            at = _without_overlaps(at, left)
        self.units[new] = left + right
        self.tokens[at] = new
        self.tokens[at + left] = MERGED
        self.tokens[at + (left + right - 1)] = -(left + right)
        after = self.tokens[at + (left + right)]
        is_word = after >= 0
        pairs = {(new, other): found for other, found in self._grouped(at[is_word], after[is_word], least)}
        at = self.preceding(at)
        before = self.tokens[at]
        is_word = (before >= 0) & (before != new)  # two new tokens in a row are among the pairs above
        pairs |= {(other, new): found for other, found in self._grouped(at[is_word], before[is_word], least)}
        return pairs

    def _grouped(self, at: np.ndarray, ids: np.ndarray, least: int):
        """(id, (count, places)) of each id with at least this count."""
        sums = self.sums(ids, at, 0)
        frequent = sums >= least
        if not frequent.any():
            return
        chosen = frequent[ids]
        at, ids = at[chosen], ids[chosen]
        order = np.argsort(ids, kind="stable")
        at, names = at[order], np.flatnonzero(frequent)
        ends = np.searchsorted(ids[order], names, side="right")
        for name, begin, end in zip(names.tolist(), [0, *ends[:-1].tolist()], ends.tolist()):
            yield name, (int(sums[name]), at[begin:end].copy())

    def frequent_pairs(self, least: int) -> dict[tuple[int, int], tuple[int, np.ndarray]]:
        """Count and places of every pair with at least this count."""
        sums = np.zeros(BUCKETS)  # of all pairs with the same remainder: no pair is more frequent than its bucket
        for at, left, right in self._chunks():
            sums += self.sums(_bucket(left, right), at, BUCKETS)
        frequent, parts = sums >= least, {}
        for at, left, right in self._chunks():
            chosen = frequent[_bucket(left, right)]
            at, keys = at[chosen], left[chosen].astype(np.int64) << 32 | right[chosen]
            order = np.argsort(keys, kind="stable")
            at, keys = at[order], keys[order]
            starts = np.flatnonzero(np.diff(keys, prepend=-1))
            for key, begin, end in zip(keys[starts].tolist(), starts.tolist(), [*starts[1:].tolist(), len(keys)]):
                parts.setdefault((key >> 32, key & 0xFFFFFFFF), []).append(at[begin:end].copy())
        found = {}
        while parts:
            pair, of_pair = parts.popitem()
            at = np.concatenate(of_pair)
            if (number := self.count(at)) >= least:
                found[pair] = number, at
        return found

    def _chunks(self):
        """Places of pairs with their two ids, chunk by chunk."""
        for begin in range(0, len(self.tokens), CHUNK):
            at = (np.flatnonzero(self.tokens[begin : begin + CHUNK] >= 0) + begin).astype(np.int32)
            right = self.tokens[self.following(at)]
            is_pair = right >= 0
            yield at[is_pair], self.tokens[at[is_pair]], right[is_pair]


def _bucket(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left.astype(np.int64) * 40503 + right) % BUCKETS


def _without_overlaps(at: np.ndarray, length: int) -> np.ndarray:
    """The first of the two pairs in `a a a`; in a longer run, every second pair. length: places of an `a`."""
    if len(at) == 0:
        return at
    begins = np.ones(len(at), dtype=bool)
    begins[1:] = np.diff(at) != length
    index = np.arange(len(at))
    start_of_run = np.maximum.accumulate(np.where(begins, index, 0))
    return at[(index - start_of_run) % 2 == 0]
