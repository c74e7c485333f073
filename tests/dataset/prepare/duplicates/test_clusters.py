"""Clusters against brute force over all pairs, whatever the order; and how often a text is asked for."""

import itertools
import random

import numpy as np
import pytest

from dataset.prepare import parts
from dataset.prepare.duplicates import clusters
from dataset.prepare.duplicates.clusters import find_duplicates
from dataset.prepare.duplicates.minhash import band_keys
from dataset.prepare.duplicates.normalised import text_key
from tests.dataset.prepare.duplicates.texts import edited, pair_at, random_text, true_jaccard


def keys_of(texts: list[str]) -> np.ndarray:
    return np.array([list(text_key(text)) for text in texts], dtype=np.uint8).reshape(-1, 16)


def kept_of(texts: list[str], threshold: float = 0.7) -> list[int]:
    return find_duplicates(keys_of(texts), band_keys(texts), texts.__getitem__, threshold).tolist()


def by_brute_force(texts: list[str], threshold: float = 0.7) -> list[int]:
    """Lowest number of each one's cluster, from all pairs that share a band or a key."""
    bands, keys = band_keys(texts), list(map(text_key, texts))
    lowest = list(range(len(texts)))
    for one, other in itertools.combinations(range(len(texts)), 2):
        candidate = ((bands[one] == bands[other]) & (bands[one] != 2**64 - 1)).any()
        if keys[one] == keys[other] or (candidate and true_jaccard(texts[one], texts[other]) >= threshold):
            first, second = sorted((lowest[one], lowest[other]))
            lowest = [first if number == second else number for number in lowest]
    return lowest


@pytest.fixture(scope="module")
def families() -> list[str]:
    """Texts, versions of them near the threshold and far from it, equal ones, short ones; shuffled."""
    rng = random.Random(0)
    texts = []
    for _ in range(25):
        base = random_text(rng, 200)
        texts += [base, *(edited(base, rng.randint(1, 14), rng) for _ in range(rng.randint(0, 5)))]
    texts += [*rng.choices(texts, k=8), "", " ", "短", "短", "短。", "长" * 200, "长" * 201]
    return rng.sample(texts, len(texts))


@pytest.mark.parametrize("threshold", [0.6, 0.8])
def test_clusters_are_those_of_brute_force(families, threshold):
    expected = by_brute_force(families, threshold)
    assert kept_of(families, threshold) == expected
    assert 3 < len(set(expected)) < len(families) - 20


@pytest.mark.parametrize("block, first_blocks", [(1, 1), (300, 1), (300, 1000)])
def test_large_buckets_are_compared_in_blocks(families, monkeypatch, block, first_blocks):
    monkeypatch.setattr(clusters, "BLOCK", block)
    monkeypatch.setattr(clusters, "FIRST_BLOCKS", first_blocks)
    expected, kept = by_brute_force(families), kept_of(families)
    if first_blocks > 1:
        assert kept == expected
    assert all(expected[number] == expected[other] for number, other in enumerate(kept)), "nothing else is linked"
    left = [families[number] for number in sorted(set(kept))]
    assert kept_of(left) == list(range(len(left))), "what is kept has no duplicates left"


def test_what_is_kept_stays(families):
    kept = kept_of(families)
    assert all(other <= number and kept[other] == other for number, other in enumerate(kept))
    left = [families[number] for number in sorted(set(kept))]
    assert kept_of(left) == list(range(len(left)))


def test_order_decides_only_which_one_is_kept(families):
    def clusters_of(texts):
        kept = kept_of(texts)
        return {frozenset(text for text, other in zip(texts, kept) if other == one) for one in kept}

    expected = clusters_of(families)
    for seed in range(3):
        assert clusters_of(random.Random(seed).sample(families, len(families))) == expected


def test_near_duplicates_are_found_and_others_not():
    rng = random.Random(1)
    near = [text for _ in range(500) for text in pair_at(0.9, rng)]
    kept = np.array(kept_of(near)).reshape(-1, 2)
    assert (kept[:, 0] == kept[:, 1]).mean() >= 0.99
    far = [text for _ in range(500) for text in pair_at(0.65, rng)]  # a third of the pairs are candidates
    assert kept_of(far) == list(range(1000))
    base = random_text(rng, 475)
    assert kept_of([base, edited(base, 5, rng)]) == [0, 0]  # five edits: J = .9


def test_unrelated_texts_with_the_same_common_characters_are_not_merged():
    rng = random.Random(2)
    words = [random_text(rng, rng.randint(1, 3)) for _ in range(300)]
    texts = ["".join(rng.choices(words, k=300)) + "。" for _ in range(1000)]
    assert kept_of(texts) == list(range(1000))


def test_short_texts_are_compared_exactly():
    texts = ["你好，世界！" * 5, "你好，世界！" * 4, "你好,世界! " * 5, "你好，世界！" * 5]
    assert kept_of(texts) == [0, 1, 2, 0]
    assert kept_of(["", "。", " ", "\n"]) == [0, 1, 0, 0]
    assert kept_of([]) == []


def test_many_equal_or_nearly_equal_texts_do_not_explode():
    rng = random.Random(3)
    base = random_text(rng, 100)
    asked = []

    def text_of(number: int) -> str:
        asked.append(number)
        return texts[number]

    texts = [base] * 20_000
    kept = find_duplicates(np.tile(keys_of([base]), (20_000, 1)), np.tile(band_keys([base]), (20_000, 1)), text_of)
    assert not kept.any() and not asked
    texts = [edited(base, 1, rng) + str(number) for number in range(2000)]
    assert not find_duplicates(keys_of(texts), band_keys(texts), text_of).any()
    assert len(asked) < 8 * len(texts)


def test_parts_find_what_one_sort_finds(families, monkeypatch):
    expected = kept_of(families)
    monkeypatch.setattr(parts, "PART", 7)
    assert kept_of(families) == expected


def test_memory_mapped_inputs(families, tmp_path):
    np.save(tmp_path / "keys.npy", keys_of(families))
    np.save(tmp_path / "bands.npy", band_keys(families))
    keys, bands = (np.load(tmp_path / name, mmap_mode="r") for name in ("keys.npy", "bands.npy"))
    assert find_duplicates(keys, bands, families.__getitem__).tolist() == kept_of(families)
