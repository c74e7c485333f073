"""Where examples are cut, and that packing puts each into exactly one row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.rows.packing import cut_length, pack
from tests.dataset.chats import kept_by_hand

END = 2


@given(
    st.lists(st.tuples(st.sampled_from([END, 7, 8]), st.booleans()), min_size=1, max_size=30),
    st.integers(1, 32),
)
def test_cutting_equals_the_definition(tokens, limit):
    ids, trained = zip(*tokens)
    kept = cut_length(np.array(ids, np.uint16), np.array(trained), limit, END)
    assert kept == kept_by_hand(ids, trained, limit, END)
    assert kept <= limit
    assert kept == 0 or trained[kept - 1]  # the last target is always trained


#        user  ----  assistant  user  assistant
IDS = [1, 9, 9, 2, 1, 8, 8, 2, 1, 9, 2, 1, 8, 8, 8, 2, 7]
FLAGS = [0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0]


@pytest.mark.parametrize(
    "limit, kept, why",
    [
        (99, 16, "all up to the last trained token"),
        (16, 16, "all, as what follows the last trained token teaches nothing"),
        (15, 8, "the second answer does not fit: all up to the end of the first"),
        (8, 8, "just the first answer"),
        (7, 7, "even the first answer does not fit: as much as does"),
        (6, 6, "one trained token"),
        (5, 0, "nothing trained"),
    ],
)
def test_cutting_by_hand(limit, kept, why):
    assert cut_length(np.array(IDS), np.array(FLAGS, bool), limit, END) == kept, why


def test_the_first_token_of_an_example_is_never_predicted():
    assert cut_length(np.array([8, 9, 9]), np.array([True, False, False]), 9, END) == 0


def best_fit_decreasing(lengths: list[int], capacity: int) -> list[int]:
    """The room left in each row, the slow way: one example at a time."""
    rooms = []
    for length in sorted(lengths, reverse=True):
        fitting = [room for room in rooms if room >= length]
        if fitting:
            rooms.remove(min(fitting))
            rooms.append(min(fitting) - length)
        else:
            rooms.append(capacity - length)
    return sorted(rooms)


@st.composite
def lengths_and_capacity(draw):
    capacity = draw(st.integers(1, 40))
    return draw(st.lists(st.integers(1, capacity), max_size=200)), capacity


@settings(max_examples=300)
@given(lengths_and_capacity())
def test_packing_is_best_fit_decreasing(case):
    lengths, capacity = case
    packing = pack(np.array(lengths, np.int32), capacity)
    rows = [row.tolist() for row in packing]
    assert len(rows) == len(packing)
    assert sorted(example for row in rows for example in row) == list(range(len(lengths)))
    rooms = [capacity - sum(lengths[example] for example in row) for row in rows]
    assert all(rows) and min(rooms, default=0) >= 0
    assert sorted(rooms) == best_fit_decreasing(lengths, capacity)
    again = pack(np.array(lengths, np.int64), capacity)
    assert [row.tolist() for row in again] == rows


def test_many_examples_leave_hardly_any_room():
    lengths = np.random.default_rng(0).integers(1, 512, 50_000)
    packing = pack(lengths, 512)
    sums = np.add.reduceat(lengths[packing.examples], packing.starts[:-1])
    assert sums.max() <= 512 and sums.sum() == lengths.sum()
    assert len(packing) * 512 < 1.01 * lengths.sum()


@pytest.mark.parametrize("lengths", [[0], [3, 11], [-1]])
def test_lengths_that_fit_no_row(lengths):
    with pytest.raises(ValueError, match="outside 1..10"):
        pack(np.array(lengths), 10)


def test_rows_that_are_not_there():
    packing = pack(np.array([3, 4]), 5)
    for row in (-1, 2):
        with pytest.raises(IndexError):
            packing[row]
