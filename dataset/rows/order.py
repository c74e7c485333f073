"""Which row comes when: a pure function of (seed, epoch, position), so that resuming needs no replay.

Without weights an epoch is a shuffle of all rows; with weights the rows of several files are mixed (`mixing`).

The shuffles take O(1) memory and time: where position i lies is computed, not looked up. A pseudo-random permutation
is a block cipher on the numbers 0..n-1: a Feistel network on pairs (a, b) with i = a * width + b, additions modulo the
two sizes in place of exclusive-or (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002, method 3). The
square holds a little more than n numbers; a number that lands outside 0..n-1 is sent round again ("cycle walking"),
which keeps the map a bijection. Not cryptography: the rounds only have to look random.
"""

import math

import numpy as np

# The first part of a shuffle's key after the seed: no two kinds of shuffle share one.
WHOLE_EPOCH, PLACES_OF_A_BLOCK, ROWS_OF_A_FILE = range(3)

ROUNDS = 6  # four make a good shuffle of a large domain; the small ones (a block of weighted rows) want more

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def shuffled_order(positions: np.ndarray, n: int, seed: int, epoch: int) -> np.ndarray:
    """The row, 0..n-1, at each position of a shuffled epoch of n rows, both int64 [B]."""
    return permuted(positions, n, derive_key(seed, WHOLE_EPOCH, epoch))


def _mix(x: np.ndarray) -> np.ndarray:
    """Scramble 64-bit numbers (uint64, wrapping): the finaliser of splitmix64 (Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def derive_key(*parts: int | np.ndarray) -> np.ndarray:
    """A 64-bit key from integers such as (seed, epoch); arrays broadcast. Any change of one gives an unrelated key."""
    key = np.zeros(1, np.uint64)
    for part in parts:
        if isinstance(part, int):
            part &= 2**64 - 1
        key = _mix((key ^ np.asarray(part).astype(np.uint64)) + _GOLDEN)
    return key


def permuted(index: np.ndarray, n: int, key: np.ndarray) -> np.ndarray:
    """Where each position goes in the shuffle `key` of 0..n-1.

    index: integers [k] in 0..n-1. key: from `derive_key`, [1] or one for each index [k].
    Returns int64 [k]; for one key, a bijection of 0..n-1. Raises IndexError for an index outside.
    """
    index = np.asarray(index, np.int64)
    if index.size and (index.min() < 0 or index.max() >= n):
        raise IndexError(f"an index lies outside 0..{n - 1}")
    height = math.isqrt(n - 1) + 1  # the square root, rounded up
    width = -(-n // height)
    height, width = np.uint64(height), np.uint64(width)
    round_keys = _mix(key + _GOLDEN * np.arange(1, ROUNDS + 1, dtype=np.uint64)[:, None])  # [ROUNDS, 1 or k]
    round_keys = np.broadcast_to(round_keys, (ROUNDS, index.size))

    result = index.astype(np.uint64)
    walking = np.arange(index.size)
    while walking.size:
        a, b = np.divmod(result[walking], width)
        keys = round_keys[:, walking]
        for turn in range(0, ROUNDS, 2):
            a = (a + _mix(b ^ keys[turn]) % height) % height
            b = (b + _mix(a ^ keys[turn + 1]) % width) % width
        result[walking] = a * width + b
        walking = walking[result[walking] >= n]
    return result.astype(np.int64)
