"""Learning-rate schedules at the marks a user reads off a curve."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.engine.schedules import learning_rate_factor


def curve(schedule: str, total: int, warmup: int) -> list[float]:
    return [learning_rate_factor(step, total, warmup, schedule) for step in range(total)]


@pytest.mark.parametrize("schedule", ["wsd", "cosine"])
def test_warm_up_is_a_straight_line_to_the_peak(schedule):
    factors = curve(schedule, 100, 10)
    assert factors[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert factors[9] == max(factors) == 1.0


def test_cosine_follows_its_formula_to_ten_per_cent():
    factors = curve("cosine", 100, 10)
    assert factors[10] == 1.0
    for step in range(10, 100):
        assert factors[step] == pytest.approx(0.55 + 0.45 * math.cos(math.pi * (step - 10) / 89))
    assert factors[-1] == pytest.approx(0.1)


def test_wsd_is_constant_and_falls_in_a_straight_line_over_the_last_half():
    factors = curve("wsd", 100, 10)
    assert set(factors[9:51]) == {1.0}  # the decay begins with step 50, still at the peak
    falls = [a - b for a, b in pairwise(factors[50:])]
    assert falls == pytest.approx([0.95 / 50] * 49)
    assert factors[-1] == pytest.approx(0.05 + 0.95 / 50)  # one more step would be 5 %


def test_wsd_of_another_decay_fraction():
    factors = [learning_rate_factor(step, 100, 0, "wsd", decay_fraction=0.2) for step in range(100)]
    assert factors[80] == 1.0 and factors[81] < 1.0


def test_a_warm_up_longer_than_the_plateau_leaves_the_rest_to_the_decay():
    factors = curve("wsd", 10, 8)
    assert factors[7] == 1.0
    assert factors[8:] == pytest.approx([1.0, 0.525])


@pytest.mark.parametrize("schedule", ["wsd", "cosine"])
@pytest.mark.parametrize("warmup", [0, 1])
def test_a_run_of_one_step_learns_at_the_peak(schedule, warmup):
    assert curve(schedule, 1, warmup) == [1.0]


@pytest.mark.parametrize("schedule", ["wsd", "cosine"])
def test_warm_up_may_fill_the_whole_run(schedule):
    assert curve(schedule, 5, 5) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


@given(st.sampled_from(["wsd", "cosine"]), st.integers(1, 60), st.data())
def test_every_schedule_rises_once_falls_once_and_stays_above_zero(schedule, total, data):
    warmup = data.draw(st.integers(0, total))
    factors = curve(schedule, total, warmup)
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[:warmup] == sorted(factors[:warmup])
    assert factors[warmup:] == sorted(factors[warmup:], reverse=True)


def test_a_step_outside_the_run_and_an_unknown_name_are_errors():
    for step in (-1, 10):
        with pytest.raises(ValueError, match="not in a run of 10"):
            learning_rate_factor(step, 10, 2, "wsd")
    with pytest.raises(ValueError, match="linear"):
        learning_rate_factor(5, 10, 2, "linear")
