"""The shuffle is a bijection, computed anywhere without state, and looks like chance."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.rows.mixing import BLOCK, places_in_block, weighted_order
from dataset.rows.order import PLACES_OF_A_BLOCK, derive_key, permuted, shuffled_order
from tests.support import examples


@pytest.mark.parametrize("n", [*range(1, 70), 255, 256, 257, 1000, 4097, 65_536, 99_991])
def test_every_number_comes_exactly_once(n):
    result = permuted(np.arange(n), n, derive_key(n, 7))
    assert result.dtype == np.int64
    assert np.array_equal(np.sort(result), np.arange(n))


@settings(max_examples=examples(50))
@given(st.integers(1, 2**62), st.integers(-(2**63), 2**64 - 1), st.data())
def test_a_part_is_the_part_of_the_whole(n, seed, data):
    index = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=8))
    together = permuted(np.array(index), n, derive_key(seed))
    alone = [int(permuted([i], n, derive_key(seed))[0]) for i in index]
    assert together.tolist() == alone
    assert all(0 <= i < n for i in alone) and len(set(alone)) == len(set(index))


def test_each_index_may_have_a_key_of_its_own():
    index, epochs = np.array([5, 5, 9, 0]), np.array([0, 1, 0, 2])
    together = permuted(index, 1000, derive_key(3, epochs))
    alone = [permuted([i], 1000, derive_key(3, int(e)))[0] for i, e in zip(index, epochs, strict=True)]
    assert together.tolist() == alone


def test_neighbours_are_not_neighbours():
    n = 100_000
    order = permuted(np.arange(n), n, derive_key(0, 0))
    steps = np.diff(order)
    assert np.mean(np.abs(steps) <= 10) < 1e-3  # by chance 2e-4
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.01
    assert abs(np.corrcoef(order, np.arange(n))[0, 1]) < 0.01
    # As many of the first tenth come from each tenth as chance would have it (standard deviation 30).
    tenths = np.bincount(order[: n // 10] * 10 // n, minlength=10)
    assert np.all(np.abs(tenths - n // 100) < 150)


def test_an_epoch_has_an_order_of_its_own():
    orders = [shuffled_order(np.arange(100), 100, seed, epoch).tolist() for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert orders[0] != orders[1] and orders[0] != orders[2] and orders[1] != orders[2]


def test_epochs_and_seeds_give_unrelated_orders():
    n = 10_000
    orders = [permuted(np.arange(n), n, derive_key(*key)) for key in [(0, 0), (0, 1), (1, 0), (1, 1), (-1, 0)]]
    for i, first in enumerate(orders):
        for second in orders[:i]:
            assert np.sum(first == second) < 12  # by chance 1
            assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


@pytest.mark.parametrize("n, orders", [(2, 2), (3, 6), (4, 24)])
def test_of_a_few_all_orders_are_about_equally_likely(n, orders):
    count = Counter(tuple(permuted(np.arange(n), n, derive_key(seed))) for seed in range(200 * orders))
    assert len(count) == orders and min(count.values()) > 130 and max(count.values()) < 270


def test_the_order_is_the_same_on_every_machine_and_in_every_version():
    # A resumed run relies on it: a change of these numbers must refuse old checkpoints.
    assert permuted(np.arange(8), 1000, derive_key(42, 0)).tolist() == [
        588,
        434,
        564,
        743,
        859,
        395,
        115,
        569,
    ]
    assert int(derive_key(42, 0)[0]) == 6332618229526065668
    assert shuffled_order(np.arange(4), 1000, 42, 1).tolist() == [263, 523, 860, 502]
    files, rows = weighted_order(np.array([0, 1, 2, 1500, 4000]), np.array([30, 50]), places_in_block([0.25, 0.75]), 42)
    assert files.tolist() == [0, 1, 1, 1, 0] and rows.tolist() == [16, 24, 28, 16, 10]


@pytest.mark.parametrize("index", [-1, 10])
def test_an_index_outside_is_an_error(index):
    with pytest.raises(IndexError):
        permuted([index], 10, derive_key(0))


def test_weights_hold_in_every_block_and_each_block_mixes_the_files_anew():
    files, rows = weighted_order(np.arange(2 * BLOCK), np.array([7, 5000]), np.array([250, 750]), seed=1)
    first, second = files.reshape(2, BLOCK)
    assert np.bincount(first).tolist() == np.bincount(second).tolist() == [250, 750]
    assert abs((first == second).mean() - (0.25**2 + 0.75**2)) < 0.1  # as by chance
    assert len(set(rows[files == 1])) == 1500 and np.ptp(np.bincount(rows[files == 0])) <= 1


def test_every_file_and_every_pass_over_it_has_an_order_of_its_own():
    _, rows = weighted_order(np.arange(BLOCK), np.array([250, 250]), np.array([500, 500]), seed=1)
    place = permuted(np.arange(BLOCK), BLOCK, derive_key(1, PLACES_OF_A_BLOCK, 0))
    passes = rows[np.argsort(place)].reshape(4, 250).tolist()  # two over each file
    assert all(sorted(each) == list(range(250)) for each in passes)
    assert len(set(map(tuple, passes))) == 4
