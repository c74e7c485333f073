"""Packing puts every record into exactly one row, and leaves little room."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.rows.packing import pack
from tests.support import examples


def best_fit_decreasing(lengths: list[int], capacity: int) -> list[int]:
    """The room left in each row, the slow way: one record at a time."""
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


@settings(max_examples=examples(300))
@given(lengths_and_capacity())
def test_packing_is_best_fit_decreasing(case):
    lengths, capacity = case
    packing = pack(np.array(lengths, np.int32), capacity)
    rows = [row.tolist() for row in packing]
    assert len(rows) == len(packing)
    assert sorted(record for row in rows for record in row) == list(range(len(lengths)))
    rooms = [capacity - sum(lengths[record] for record in row) for row in rows]
    assert all(rows) and min(rooms, default=0) >= 0
    assert sorted(rooms) == best_fit_decreasing(lengths, capacity)
    again = pack(np.array(lengths, np.int64), capacity)
    assert [row.tolist() for row in again] == rows


def test_many_records_leave_hardly_any_room():
    lengths = np.random.default_rng(0).integers(1, 512, 50_000)
    packing = pack(lengths, 512)
    sums = np.add.reduceat(lengths[packing.records], packing.starts[:-1])
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
