"""ROUGE-L against its definition, and the index against a comparison with all texts."""

import functools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.instruct.rouge import Similar, lcs_length, rouge_l, tokens_of

FEW = st.lists(st.sampled_from("abcd"), max_size=9)


def lcs_by_definition(a, b) -> int:
    @functools.cache
    def of(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return 0
        return of(i + 1, j + 1) + 1 if a[i] == b[j] else max(of(i + 1, j), of(i, j + 1))

    return of(0, 0)


@given(FEW, FEW)
def test_longest_common_subsequence(a, b):
    assert lcs_length(a, b) == lcs_by_definition(a, b)


def test_rouge_l_of_known_pairs():
    assert rouge_l(tokens_of("police killed the gunman"), tokens_of("police kill the gunman")) == 0.75  # Lin 2004
    assert rouge_l(tokens_of("今天天气很好"), tokens_of("今天天气不好。")) == pytest.approx(10 / 12)
    assert rouge_l([], ["a"]) == rouge_l(["a"], []) == 0


def test_tokens_are_words_and_chinese_characters():
    assert tokens_of("Write 3 Haikus about 北京, naïve!") == ["write", "3", "haikus", "about", "北", "京", "naïve"]
    assert tokens_of("snake_case") == ["snake", "case"]
    for one in ("か", "ナ", "\u3400", "\uf900", "\U00020000"):  # kana, and Chinese beyond the usual characters
        assert tokens_of(f"a{one}{one}") == ["a", one, one]


def test_a_text_as_similar_as_the_threshold_is_not_new():
    similar = Similar(0.5)
    for text in ("a b c d", "x x x x"):
        similar.add(text)
    assert (similar.like("a b e f"), similar.like("a e f g"), similar.like("a b e f g")) == (0, None, None)
    assert (similar.like("x x y z"), similar.like("x y z w")) == (1, None)


def test_the_index_loses_no_similar_text():
    chance = random.Random(0)
    texts = ["".join(chance.choices("春夏秋冬花鸟鱼虫", k=chance.randint(1, 9))) for _ in range(300)] + ["", "?!"]
    similar, kept = Similar(0.7), []
    for text in texts:
        all_scores = [rouge_l(tokens_of(text), tokens_of(other)) for other in kept]
        assert similar.like(text) == next((i for i, score in enumerate(all_scores) if score >= 0.7), None)
        similar.add(text)
        kept.append(text)
