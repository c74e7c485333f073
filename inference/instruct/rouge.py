"""ROUGE-L between two texts, and an index that finds the texts that a new one resembles.

ROUGE-L (Lin 2004, https://aclanthology.org/W04-1013) is the F1 score of the longest common subsequence (LCS):
2 LCS / (m + n) for texts of m and n tokens. Self-Instruct (Wang et al. 2023, https://arxiv.org/abs/2212.10560) keeps an
instruction only if its ROUGE-L with every kept one is below 0.7.
"""

import re
from array import array
from collections import Counter
from collections.abc import Sequence

import numpy as np

# One token: a character of a script that is written without spaces, or a word of letters and digits.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")


def tokens_of(text: str) -> list[str]:
    """Words in lower case; of Chinese and Japanese, single characters. Punctuation is no token."""
    return _TOKEN.findall(text.lower())


def lcs_length(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the longest common subsequence; len(b) steps on integers of len(a) bits.

    Hyyrö 2004, "Bit-parallel LCS-length computation revisited": after each token of `b`, the zeros of `row` mark where
    the LCS with a longer and longer beginning of `a` grows.
    """
    places: dict[str, int] = {}
    for place, token in enumerate(a):
        places[token] = places.get(token, 0) | 1 << place
    full = (1 << len(a)) - 1
    row = full
    for token in b:
        common = row & places.get(token, 0)
        row = ((row + common) | (row - common)) & full
    return len(a) - row.bit_count()


def rouge_l(a: Sequence[str], b: Sequence[str]) -> float:
    """ROUGE-L (F1) of two lists of tokens, from 0 to 1; 0 where one is empty."""
    return 2 * lcs_length(a, b) / (len(a) + len(b)) if a and b else 0.0


class Similar:
    """Texts so far, with an index from a token to those that have it.

    Two texts with c tokens in common, repetitions counted, have an LCS of at most c. So only texts whose 2 c / (m + n)
    reaches the threshold are compared. The index counts c for all texts at once, and misses none.
    """

    def __init__(self, threshold: float):
        self._threshold = threshold
        self._texts: list[list[str]] = []
        self._lengths = array("q")
        self._having: dict[tuple[str, int], array] = {}  # the k-th occurrence of a token -> numbers of texts

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, text: str) -> None:
        tokens = tokens_of(text)
        for occurrence in _occurrences(tokens):
            self._having.setdefault(occurrence, array("q")).append(len(self._texts))
        self._texts.append(tokens)
        self._lengths.append(len(tokens))

    def like(self, text: str) -> int | None:
        """The number of the first text whose ROUGE-L with this one is at least the threshold; None if there is none."""
        tokens = tokens_of(text)
        found = [self._having[one] for one in _occurrences(tokens) if one in self._having]
        if not found:
            return None
        common = np.bincount(np.concatenate([np.array(one) for one in found]), minlength=len(self))
        bound = 2 * common / (np.array(self._lengths) + len(tokens))
        for number in np.flatnonzero(bound >= self._threshold).tolist():
            if rouge_l(tokens, self._texts[number]) >= self._threshold:
                return number
        return None


def _occurrences(tokens: Sequence[str]) -> list[tuple[str, int]]:
    seen: Counter[str] = Counter()
    found = []
    for token in tokens:
        found.append((token, seen[token]))
        seen[token] += 1
    return found
