"""Weights by tokens: epochs, evenly spread documents, and exact shares after every prefix."""

import numpy as np
import pytest

from dataset.prepare.mixing import copies_of, epochs_of, interleaved, weights_by_temperature


def test_everything_is_used_once_unless_a_source_were_repeated_too_often():
    assert epochs_of([100, 300], [0.5, 0.5], 4) == [3.0, 1.0]
    assert epochs_of([100, 1000], [0.5, 0.5], 4) == pytest.approx([4.0, 0.4])
    assert epochs_of([100, 1000], [0.5, 0.5], 1) == pytest.approx([1.0, 0.1])
    assert epochs_of([100, 0, 50], [1, 1, 0], 4) == [1.0, 0.0, 0.0]


def test_temperature():
    weights = weights_by_temperature([100, 10_000, 0], 2)
    assert weights[1] / weights[0] == pytest.approx(10) and weights[2] == 0
    assert weights_by_temperature([100, 10_000, 0], 1e-5) == [0, 1, 0], "no power overflows"


@pytest.mark.parametrize("epochs", [0.0, 0.3, 1.0, 2.7])
def test_copies_follow_the_share_after_any_prefix(epochs):
    tokens = np.random.default_rng(0).integers(1, 500, 2000)
    copies = copies_of(tokens, epochs)
    assert set(copies) <= {int(epochs), int(epochs) + 1}
    assert np.abs(np.cumsum(copies * tokens) - epochs * np.cumsum(tokens)).max() <= 250 + 1e-6


def test_shares_hold_within_one_document_after_any_prefix():
    random = np.random.default_rng(0)
    sources = [
        [(number, int(size)) for size in random.integers(1, 500, count)] for number, count in ((0, 3000), (1, 1000))
    ]
    had, weights = np.zeros(2), np.array([0.7, 0.3])
    order = list(interleaved([iter(each) for each in sources], weights, lambda item: item[1]))
    assert [each for each in order if each[0] == 1] == sources[1]
    for number, size in order[:3000]:
        had[number] += size
        assert np.abs(had - weights * had.sum()).max() <= 500
