"""MinHash against brute force in Python's integers, and against its probabilities."""

import random

import numpy as np
import pytest

from dataset.prepare.duplicates import minhash
from dataset.prepare.duplicates.minhash import NEVER, band_keys, fingerprints, jaccard, shingles, signatures
from tests.dataset.prepare.duplicates.texts import characters_of, pair_at, random_text, true_jaccard


def fingerprint(shingle: str) -> int:
    value = sum(ord(one) * int(factor) for one, factor in zip(shingle, minhash._PLACES)) % 2**64
    for factor in minhash._MIX:
        value = (value ^ value >> 32) * int(factor) % 2**64
    return value ^ value >> 29


def signature(text: str) -> list[int]:
    text = characters_of(text)
    hashes = [fingerprint(text[i : i + 5]) >> 32 for i in range(len(text) - 4)]
    factors = zip(minhash._FACTORS.tolist(), minhash._SUMMANDS.tolist())
    return [min((factor * x + summand) % 2**32 for x in hashes) for factor, summand in factors]


def test_signatures_are_those_of_python_integers(monkeypatch):
    monkeypatch.setattr(minhash, "BLOCK", 64)  # so that texts begin and end inside blocks, and one fills several
    monkeypatch.setattr(minhash, "BATCH", 300)
    rng = random.Random(1)
    texts = [random_text(rng, length) for length in (70, 10, 300, 60, 0, 50, 49, 64)]
    texts += ["Ünïcödé, " * 9, "😀" * 55, "\U0010fffd" * 60]
    found, long = signatures(texts)
    assert long.tolist() == [len(characters_of(text)) >= 50 for text in texts]
    for number in np.flatnonzero(long):
        assert found[:, number].tolist() == signature(texts[number])


def test_fingerprints_are_those_of_python_integers():
    text = "a\U0010ffff一b z" * 3
    codes = np.array(list(map(ord, text)), dtype=np.uint32)
    assert fingerprints(codes).tolist() == [fingerprint(text[i : i + 5]) for i in range(len(text) - 4)]
    assert [len(fingerprints(codes[:count])) for count in (0, 4, 5)] == [0, 0, 1]


def test_bands_are_eight_entries_each():
    rng = random.Random(2)
    texts = [random_text(rng, 100, "ab") for _ in range(60)]  # alike enough that bands are equal now and then
    bands, (entries, _) = band_keys(texts), signatures(texts)
    eight = entries.reshape(14, 8, 60)
    equal = (eight[:, :, :, None] == eight[:, :, None, :]).all(axis=1)
    assert ((bands[:, None] == bands[None]).transpose(2, 0, 1) == equal).all()
    assert equal.sum() > 14 * 60
    assert bands.shape == (60, 14) and bands.dtype == np.uint64


def test_bands_do_not_depend_on_the_batch():
    rng = random.Random(3)
    texts = [random_text(rng, rng.randint(0, 200)) for _ in range(20)]
    alone = np.concatenate([band_keys([text]) for text in texts])
    assert (band_keys(texts) == alone).all()
    assert band_keys([]).shape == (0, 14)


def test_short_and_empty_texts_are_marked():
    assert (band_keys(["", "。" * 100, "十个字" * 16, "a " * 20]) == NEVER).all()
    assert (band_keys(["一二三四五" * 10]) != NEVER).all()


@pytest.mark.parametrize("one, other", [("", ""), ("abc", "abc"), ("abcdef", "abcdeg"), ("Ab, c d e", "ab c d。e f")])
def test_jaccard_is_that_of_sets(one, other):
    assert jaccard(shingles(one), shingles(other)) == true_jaccard(one, other)


def test_estimate_is_unbiased():
    rng = random.Random(4)
    pairs = [pair_at(rng.random(), rng) for _ in range(1000)]
    entries, _ = signatures([text for pair in pairs for text in pair])
    error = (entries[:, ::2] == entries[:, 1::2]).mean(axis=0) - [true_jaccard(*pair) for pair in pairs]
    assert abs(error.mean()) < 0.005
    assert abs(error.std() - 0.0386) < 0.004  # the mean of J (1 - J) over J from 0 to 1 is 1/6: sqrt(1/6 / 112)


@pytest.mark.parametrize("similarity, least, most", [(0.9, 0.99, 1), (0.8, 0.9, 0.95), (0.5, 0.045, 0.06)])
def test_candidates_follow_the_curve(similarity, least, most):
    rng = random.Random(5)
    bands = band_keys([text for _ in range(3000) for text in pair_at(similarity, rng)])
    assert least <= (bands[::2] == bands[1::2]).any(axis=1).mean() <= most


@pytest.mark.parametrize("texts", [[""], ["你好"], ["", "a"], ["abcd"]], ids=str)
def test_a_batch_shorter_than_a_shingle_has_no_bands(texts):
    assert (band_keys(texts) == NEVER).all() and band_keys(texts).shape == (len(texts), 14)
