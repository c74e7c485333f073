"""Merges are those of the definition of BPE training, whatever is kept of the pairs on the way."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.text import learn_merges as module
from model.text.learn_merges import BOUNDARY, learn_merges
from tests.support import examples


def brute_force_merges(words, spelling, count, longest):
    """BPE training as it is defined: count all pairs of neighbours anew after each merge."""
    words, spelling, merges = [list(word) for word in words], list(spelling), []
    while len(merges) < count:
        pairs = Counter(pair for word in words for pair in pairwise(word))
        allowed = {
            pair: n
            for pair, n in pairs.items()
            if n >= 2 and len(token := spelling[pair[0]] + spelling[pair[1]]) <= longest and token not in spelling
        }
        if not allowed:
            break
        best = min(allowed, key=lambda pair: (-allowed[pair], pair))
        for word in words:
            i = 0
            while i + 1 < len(word):
                if (word[i], word[i + 1]) == best:
                    word[i : i + 2] = [len(spelling)]
                i += 1
        spelling.append(spelling[best[0]] + spelling[best[1]])
        merges.append(best)
    return merges


def places_of(words) -> np.ndarray:
    return np.array([BOUNDARY] + [i for word in words for i in (*word, BOUNDARY)], dtype=np.int32)


@pytest.fixture(params=["as it is", "with much that is looked through anew"])
def small(request, monkeypatch):
    if request.param != "as it is":
        for name, value in (("FIRST_SHARE", 1), ("LOWERED_BY", 2), ("CHUNK", 4), ("BUCKETS", 5)):
            monkeypatch.setattr(module, name, value)


WORDS = st.lists(st.lists(st.integers(0, 2), max_size=12), max_size=12)


@settings(suppress_health_check=list(HealthCheck))
@given(words=WORDS, count=st.integers(1, 12), longest=st.integers(2, 6))
def test_merges_are_those_of_the_definition(small, words, count, longest):
    places = places_of(words)
    before = places.copy()
    expected = brute_force_merges(words, ["a", "b", "c"], count, longest)
    assert learn_merges(places, ["a", "b", "c"], count, longest) == expected
    assert (places == before).all()


@settings(max_examples=examples(50), suppress_health_check=list(HealthCheck))
@given(words=WORDS, data=st.data())
def test_a_weight_is_that_many_words(small, words, data):
    often = [data.draw(st.integers(1, 4)) for _ in words]
    weights = np.array([0] + [n for word, n in zip(words, often) for _ in (*word, BOUNDARY)], dtype=np.int32)
    expected = brute_force_merges([word for word, n in zip(words, often) for _ in range(n)], ["a", "b", "c"], 9, 6)
    assert learn_merges(places_of(words), ["a", "b", "c"], 9, 6, weights) == expected


def test_an_existing_token_is_not_made_a_second_way():
    # `abc` exists, as a + bc. Joining ab + c as well would change the ids of old texts.
    spelling = ["a", "b", "c", "bc", "abc", "ab"]
    places = np.array([BOUNDARY, 5, 2, BOUNDARY, 5, 2, BOUNDARY], dtype=np.int32)
    assert learn_merges(places, spelling, 5, 16) == []
