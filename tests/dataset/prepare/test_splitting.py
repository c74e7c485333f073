"""Validation is made of whole clusters."""

import numpy as np
import pytest

from dataset.prepare import parts
from dataset.prepare.splitting import validation_of


def test_whole_clusters_of_about_the_ratio_whatever_the_order():
    random = np.random.default_rng(0)
    keys = random.integers(0, 256, (1000, 16), dtype=np.uint8)
    clusters = np.arange(1000) // 3 * 3
    tokens = random.integers(1, 100, 1000)
    chosen = validation_of(keys, clusters, tokens, 0.1)
    assert all(len(set(chosen[clusters == head])) == 1 for head in set(clusters))
    assert 0.1 <= tokens[chosen].sum() / tokens.sum() < 0.11
    alone = np.arange(1000)
    assert (validation_of(keys[::-1], alone, tokens[::-1], 0.1)[::-1] == validation_of(keys, alone, tokens, 0.1)).all()


@pytest.mark.parametrize("ratio", [0.0001, 0.1, 0.37, 0.999])
@pytest.mark.parametrize("count", [2, 7, 3000])
@pytest.mark.parametrize("groups", ["many", "one"])
def test_the_clusters_are_those_of_one_sort(count, ratio, groups, monkeypatch):
    """Also where documents are gone through in parts, duplicates count no tokens, and hashes begin with the same bits,
    by which clusters are grouped."""
    random = np.random.default_rng(count)
    keys = random.integers(0, 256, (count, 16), dtype=np.uint8)
    keys[:, 6:8] = 7 if groups == "one" else keys[:, 6:8]
    clusters = np.minimum(random.integers(0, count, count), np.arange(count))
    clusters[clusters != clusters[clusters]] = 0
    tokens = random.integers(1, 100, count) * (random.random(count) < 0.8)
    monkeypatch.setattr(parts, "PART", 100)
    heads = sorted(set(clusters), key=lambda head: int.from_bytes(keys[head, :8].tobytes(), "little"))
    expected, held = set(), 0
    for head in heads[: len(heads) - 1]:
        if expected and held >= ratio * tokens.sum():
            break
        expected.add(head)
        held += tokens[clusters == head].sum()
    chosen = validation_of(keys, clusters, tokens, ratio)
    assert set(clusters[chosen]) == expected and not expected & set(clusters[~chosen])


def test_a_share_that_whole_clusters_have_exactly_takes_no_further_one():
    keys = np.zeros((4, 16), np.uint8)
    keys[:, 7] = [10, 20, 30, 40]  # the highest byte of a hash
    assert validation_of(keys, np.arange(4), np.ones(4), 0.5).tolist() == [True, True, False, False]


def test_little_data():
    keys = np.zeros((2, 16), np.uint8)
    assert validation_of(keys, np.arange(2), np.ones(2), 0.01).sum() == 1
    assert validation_of(np.zeros((3, 16), np.uint8), np.arange(3), np.ones(3), 0.01).tolist() == [True, False, False]
    assert not validation_of(keys[:1], np.arange(1), np.ones(1), 0.5).any()
    assert not validation_of(keys, np.zeros(2, int), np.ones(2), 0.5).any()
