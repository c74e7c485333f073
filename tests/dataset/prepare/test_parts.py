"""What is done part by part is what is done at once."""

import numpy as np
import pytest

from dataset.prepare import parts
from dataset.prepare.cleaned import count_lines
from dataset.prepare.duplicates.repeated_lines import RepeatedLines, line_hashes
from dataset.prepare.fates import heads_of_all_sides, stands_for_itself


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "PART", 5)


def test_slices_hold_every_number_once():
    assert [*parts.slices(11)] == [slice(0, 5), slice(5, 10), slice(10, 11)]
    assert [*parts.slices(0)] == []


def test_numbers_of_what_is_chosen():
    chosen = np.array([0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 1])
    assert [numbers.tolist() for numbers in parts.numbers_of(chosen)] == [[1, 2], [6, 9], [10]]


def test_equal_values_come_together():
    values = np.random.default_rng(0).integers(0, 9, 40).astype(np.uint64)
    values[3] = parts.NEVER
    chosen = np.arange(40) % 4 != 1
    found = [*parts.equal_together(values, chosen)]
    assert len(found) > 1 and all((np.diff(numbers) > 0).all() for numbers in found)
    assert sorted(np.concatenate(found)) == [number for number in np.flatnonzero(chosen) if number != 3]
    assert sum(len(set(values[numbers])) for numbers in found) == len(set(values[chosen]) - {parts.NEVER})


def test_what_stands_for_all_sides():
    """Numbers that agree on both sides have the lowest of them as their head."""
    first = np.array([0, 0, 2, 0, 2, 5, 0, 0, 8, 2, 8, 11])
    second = np.array([0, 1, 2, 0, 2, 5, 1, 1, 8, 9, 2, 0])
    expected = [0, 1, 2, 0, 2, 5, 1, 1, 8, 9, 10, 11]
    assert heads_of_all_sides(np.stack([first, second], axis=1)).tolist() == expected
    assert stands_for_itself(np.array(expected)).tolist() == [a == b for a, b in enumerate(expected)]


def test_equal_texts_count_once(tmp_path):
    """In whichever chunks they stand."""
    (tmp_path / "lines").mkdir()
    texts = [f"a line that text {number} has for itself\nand one that all of them have" for number in range(6)]
    lines = [line_hashes(text) for text in texts]
    for chunk, members in enumerate(([0, 1, 2, 0], [], [2, 2, 3], [4, 0, 5])):
        np.savez(
            tmp_path / "lines" / f"{chunk:07}.npz",
            texts=np.array(members, np.uint64),
            counts=np.array([2] * len(members), np.int64),
            lines=np.concatenate([*(lines[number] for number in members), np.zeros(0, np.uint64)]),
        )
    expected = RepeatedLines()
    expected.count(texts)
    assert (count_lines(tmp_path, range(4)).counts == expected.counts).all()
