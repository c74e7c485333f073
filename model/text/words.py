"""Words of a text, counted, and as the arrays that merges are learnt from."""

from collections import Counter
from collections.abc import Iterable
from itertools import islice

import numpy as np
import regex

from model.text.learn_merges import BOUNDARY
from model.text.vocabulary import QWEN2_PATTERN

_SEPARATOR = 0xFF  # a byte that UTF-8 does not have
_TOGETHER = 100_000  # words that become bytes at once


def count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs in the texts.

    The package `regex` has the classes of characters that the `tokenizers` library has, and those of newer scripts.
    """
    find = regex.compile(QWEN2_PATTERN).findall
    words: Counter[str] = Counter()
    for text in texts:
        words.update(find(text))
    return words


def places_of(word: str) -> int:
    """How many places a word takes in the arrays: its bytes, and the boundary behind it."""
    return len(word.encode("utf-8")) + 1


def as_places(words: Counter[str], byte_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ids of all words' bytes, with boundaries: int16 [N]; and how often the word of each place occurs: int32 [N].

    byte_ids: the id of each of the 256 bytes, below 2^15.
    """
    size = 1 + sum(map(places_of, words))
    places, weights = np.full(size, BOUNDARY, np.int16), np.zeros(size, np.int32)
    id_of = byte_ids.astype(np.int16)
    id_of[_SEPARATOR] = BOUNDARY
    end, remaining = 1, iter(words.items())
    while some := list(islice(remaining, _TOGETHER)):
        encoded = [word.encode("utf-8") for word, _ in some]
        data = np.frombuffer(b"\xff".join(encoded) + b"\xff", np.uint8)
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded)) + 1
        counts = np.fromiter((number for _, number in some), np.int32, len(some))
        places[end : end + len(data)] = id_of[data]
        weights[end : end + len(data)] = np.repeat(counts, lengths)
        end += len(data)
    return places, weights
