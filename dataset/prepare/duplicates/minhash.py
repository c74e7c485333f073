"""MinHash: 14 numbers of a text, of which a near-duplicate very likely shares one.

Broder, "On the resemblance and containment of documents" (1997): where h is a random order of all shingles, the
smallest h of two texts is equal with a probability of exactly their Jaccard similarity J = |A and B| / |A or B|. A
signature holds 112 such minima; 14 bands of 8 make a pair a candidate where any band is equal, which happens with

    P(J) = 1 - (1 - J^8)^14          J   .5    .6    .7    .8    .9    .95
                                     P   .053  .211  .565  .924  1.000 1.000

(14 x 8: FineWeb, Penedo et al. 2024). A shingle is five characters, in every language: words are not separated in
Chinese, and sets of single characters make long unrelated texts alike.
"""

from collections.abc import Iterator, Sequence
from hashlib import shake_256

import numpy as np

from dataset.prepare.duplicates.normalised import END, compared_characters
from dataset.prepare.parts import NEVER

WIDTH, BANDS, ROWS = 5, 14, 8
SHORTEST = 50  # compared characters; below, a few edits are a different text, and only the exact key is compared
BATCH, BLOCK = 2**20, 2**16  # characters normalised at once; shingles permuted at once, which fit the cache of a core


def _constants(name: str, kind: str, count: int) -> np.ndarray:
    """Fixed random numbers, the same with every version of Python and numpy."""
    kind = np.dtype(kind)
    return np.frombuffer(shake_256(name.encode()).digest(count * kind.itemsize), dtype=kind).copy()


_PLACES = _constants("places", "<u8", WIDTH)
_MIX = _constants("mix", "<u8", 2) | np.uint64(1)
_FACTORS = _constants("factors", "<u4", BANDS * ROWS) | np.uint32(1)
_SUMMANDS = _constants("summands", "<u4", BANDS * ROWS)


def fingerprints(codes: np.ndarray) -> np.ndarray:
    """A 64-bit number for each shingle: uint32 [n] code points to uint64 [n - 4].

    The sum of a_i c_i modulo 2^64 (Lemire and Kaser 2014), then two rounds of multiplication and shift, without
    which the minima of `signatures` would be linear in the characters.
    Arithmetic of uint64 arrays is modulo 2^64 by definition, so nothing overflows unnoticed.
    """
    count = max(0, len(codes) - WIDTH + 1)
    sums = np.zeros(count, dtype=np.uint64)
    for place, factor in enumerate(_PLACES):
        sums += codes[place : place + count] * factor
    for factor in _MIX:
        sums ^= sums >> np.uint64(32)
        sums *= factor
    return sums ^ (sums >> np.uint64(29))


def shingles(text: str) -> np.ndarray:
    """The set of a text's shingles, as their sorted fingerprints, uint64; empty for fewer than five characters."""
    return np.unique(fingerprints(compared_characters([text])[:-1]))


def jaccard(one: np.ndarray, other: np.ndarray) -> float:
    """|A and B| / |A or B| of two results of `shingles`; 0 where both are empty."""
    both = np.sort(np.concatenate([one, other]))
    shared = int((both[1:] == both[:-1]).sum())
    return shared / max(1, len(both) - shared)


def signatures(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """MinHash signatures, uint32 [112, N], and whether each text is long enough to have one, bool [N].

    Permutation i sends a shingle's upper 32 bits x to (a_i x + b_i) modulo 2^32, a_i odd: one to one, and four times as
    fast as 64 bits. x is already as good as random, so this only has to reorder. A text's share of a signature's equal
    entries is an unbiased estimate of J with a standard deviation of sqrt(J (1 - J) / 112), .047 at most.
    """
    found = [_signatures(texts[first:last]) for first, last in _batches(texts)]
    if not found:
        return np.empty((BANDS * ROWS, 0), np.uint32), np.empty(0, bool)
    return np.concatenate([one for one, _ in found], axis=1), np.concatenate([long for _, long in found])


def band_keys(texts: Sequence[str]) -> np.ndarray:
    """The bands of every text, uint64 [N, 14]: 8 entries of the signature as one number; `NEVER` for short texts."""
    minima, long = signatures(texts)
    keys = np.zeros((BANDS, len(texts)), dtype=np.uint64)
    for row in minima.reshape(BANDS, ROWS, len(texts)).swapaxes(0, 1):
        keys = (keys ^ row) * _MIX[0]
        keys ^= keys >> np.uint64(32)
    keys[keys == NEVER] -= np.uint64(1)
    keys[:, ~long] = NEVER
    return np.ascontiguousarray(keys.T)


def _batches(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Ranges of texts with about `BATCH` characters each."""
    first = size = 0
    for number, text in enumerate(texts):
        size += len(text)
        if size >= BATCH or number + 1 == len(texts):
            yield first, number + 1
            first, size = number + 1, 0


def _signatures(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    codes = compared_characters(texts)
    ends = np.flatnonzero(codes == END)
    lengths = np.diff(ends, prepend=-1) - 1
    long = lengths >= SHORTEST
    # The shingles of long texts, one text after the other; those that reach into the next text are left out.
    inside = np.repeat(long, lengths + 1)
    for back in range(WIDTH):
        inside[np.maximum(ends - back, 0)] = False
    hashes = (fingerprints(codes)[inside[: max(0, len(codes) - WIDTH + 1)]] >> np.uint64(32)).astype(np.uint32)
    starts = np.cumsum(np.append(0, lengths[long] - WIDTH + 1))
    minima = np.full((BANDS * ROWS, len(starts) - 1), 2**32 - 1, dtype=np.uint32)
    room = np.empty(BLOCK, dtype=np.uint32)
    for begin in range(0, len(hashes), BLOCK):
        block = hashes[begin : begin + BLOCK]
        first = np.searchsorted(starts, begin, "right") - 1
        last = np.searchsorted(starts, begin + len(block), "left")
        cuts = np.maximum(starts[first:last] - begin, 0)
        values = room[: len(block)]
        for lowest, factor, summand in zip(minima, _FACTORS, _SUMMANDS):
            np.multiply(block, factor, out=values)
            np.add(values, summand, out=values)
            np.minimum(lowest[first:last], np.minimum.reduceat(values, cuts), out=lowest[first:last])
    every = np.full((BANDS * ROWS, len(texts)), 2**32 - 1, dtype=np.uint32)
    every[:, long] = minima
    return every, long
