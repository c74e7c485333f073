from collections import Counter

import numpy as np
import pytest

from dataset.prepare.judging.repetition import Grams


def duplicated_by_hand(words, n):
    """As in datatrove's GopherRepetitionFilter, but that n-grams which overlap a duplicate are seen as well."""
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    characters, start = 0, 0
    while start < len(grams):
        if grams[start] in grams[:start]:
            characters += len("".join(grams[start]))
            start += n
        else:
            start += 1
    return characters / len("".join(words))


def top_by_hand(words, n):
    counts = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    most = max(counts.values())
    return {
        most * len("".join(gram)) / len("".join(words)) if most > 2 else 0 for gram in counts if counts[gram] == most
    }


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_shares_are_those_of_a_count_by_hand(n, seed):
    random = np.random.default_rng(seed)
    words = [["a", "bc", "def", "ghij"][i] for i in random.integers(0, 4, 60)] + ["a", "bc", "def"] * (4 * seed)
    ids = {word: number for number, word in enumerate(dict.fromkeys(words))}
    grams = Grams(np.array([ids[word] for word in words], np.uint64), np.array([len(word) for word in words]))
    assert grams.duplicated(n) == pytest.approx(duplicated_by_hand(words, n), abs=1e-12)
    assert any(grams.top(n) == pytest.approx(share, abs=1e-12) for share in top_by_hand(words, n))


def test_a_text_shorter_than_an_n_gram_repeats_nothing():
    grams = Grams(np.arange(3, dtype=np.uint64), np.ones(3, np.int64))
    assert grams.top(4) == grams.duplicated(4) == 0
