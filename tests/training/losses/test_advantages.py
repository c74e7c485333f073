"""Advantages against double loops and Python's statistics, and what must hold of them."""

import math
import statistics

import pytest
import torch

from training.losses.advantages import gae, group_advantages, moments, weighted_sum, whiten

NAN = math.nan


def drawn(lengths=(5, 1, 3, 0), width=6, seed=0):
    """Rewards and values, float64 [S, A], with garbage where there is no action, and the mask."""
    torch.manual_seed(seed)
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    rewards, values = torch.randn(2, len(lengths), width, dtype=torch.float64)
    return rewards.masked_fill(~mask, NAN), values.masked_fill(~mask, NAN), mask


def formula(rewards, values, gamma, lam):
    """The sum over all later deltas, for one answer: lists of its actions."""
    following = [*values[1:], 0.0]
    deltas = [r + gamma * after - v for r, after, v in zip(rewards, following, values)]
    return [sum((gamma * lam) ** k * delta for k, delta in enumerate(deltas[t:])) for t in range(len(deltas))]


def test_gae_is_its_double_loop():
    rewards, values, mask = drawn()
    advantages, returns = gae(rewards, values, mask, 0.97, 0.9)
    for row, n in enumerate(mask.sum(dim=1).tolist()):
        expected = formula(rewards[row, :n].tolist(), values[row, :n].tolist(), 0.97, 0.9)
        assert advantages[row].tolist() == pytest.approx([*expected, *[0] * (6 - n)], rel=1e-12)
        together = [a + v for a, v in zip(expected, values[row, :n].tolist())]
        assert returns[row].tolist() == pytest.approx([*together, *[0] * (6 - n)], rel=1e-12)


def test_columns_of_the_environment_are_passed_over():
    rewards, values, mask = drawn(lengths=(4,), width=4)
    places = [0, 3, 4, 6]
    apart = torch.full((2, 1, 8), NAN, dtype=torch.float64)
    apart[0, :, places], apart[1, :, places] = rewards, values
    wide = torch.zeros(1, 8, dtype=torch.bool)
    wide[:, places] = True
    for found, expected in zip(gae(*apart, wide, 0.9, 0.8), gae(rewards, values, mask, 0.9, 0.8)):
        torch.testing.assert_close(found[:, places], expected)
        assert not found[~wide].any()


def test_lambda_0_is_the_temporal_difference_and_1_the_sum_of_rewards():
    rewards, values, mask = drawn(lengths=(6, 6))
    advantages, _ = gae(rewards, values, mask, 0.9, 0.0)
    following = torch.cat([values[:, 1:], torch.zeros(2, 1)], dim=1)
    torch.testing.assert_close(advantages, rewards + 0.9 * following - values)
    advantages, returns = gae(rewards, values, mask, 1.0, 1.0)
    still_to_come = rewards.flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(advantages, still_to_come - values)
    torch.testing.assert_close(returns, still_to_come)


def test_whitened_actions_have_mean_0_and_variance_1_whatever_stands_elsewhere():
    _, values, mask = drawn()
    found = whiten(values, mask)
    assert found[mask].mean().item() == pytest.approx(0, abs=1e-12)
    assert found[mask].var().item() == pytest.approx(1, rel=1e-7)
    assert not found[~mask].any()


def test_whitening_one_action_changes_nothing_and_equal_ones_become_0():
    values = torch.tensor([[3.0, NAN], [3.0, NAN]])
    assert whiten(values, torch.tensor([[True, False], [False, False]])).tolist() == [[3, 0], [0, 0]]
    assert whiten(values, torch.tensor([[True, False], [True, False]])).tolist() == [[0, 0], [0, 0]]


def test_a_spread_that_is_small_next_to_the_values_is_not_lost_in_their_squares():
    """In float32 the squares of values near 1000 are known to 0.06, and the variance here is 0.01."""
    values = 1000 + 0.1 * torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(values, dtype=torch.bool)
    wide = values.double()
    torch.testing.assert_close(whiten(values, mask).double(), (wide - wide.mean()) / wide.std(), rtol=1e-3, atol=1e-3)
    equal = torch.full((1, 3), 1000000.3, dtype=torch.float64)  # by rounding, their variance is negative
    white = whiten(equal, torch.ones_like(equal, dtype=torch.bool))
    assert white.dtype == torch.float64 and white.abs().max() < 1e-3  # no complex numbers


def test_processes_whiten_by_the_moments_of_all():
    _, values, mask = drawn()
    halves = [(values[rows], mask[rows]) for rows in (slice(0, 1), slice(1, 4))]
    of_all = sum(moments(*half) for half in halves)
    torch.testing.assert_close(torch.cat([whiten(*half, of_all) for half in halves]), whiten(values, mask))


REWARDS = [1.0, 0.0, 0.5, 2.0, 2.0, NAN, 3.0, NAN, -1.0]
GROUPS = [0, 0, 0, 1, 1, 1, 2, 3, 0]  # one with a spread, one of equal ones, one rated answer, none


def test_advantages_of_groups_of_any_size():
    rewards, groups = torch.tensor(REWARDS, dtype=torch.float64), torch.tensor(GROUPS)
    first = [1.0, 0.0, 0.5, -1.0]
    rated = [r for r in REWARDS if not math.isnan(r)]
    deviations = {"group": statistics.stdev(first) + 1e-4, "batch": statistics.stdev(rated) + 1e-4, "none": 1.0}
    for scale, deviation in deviations.items():
        advantages, spread = group_advantages(rewards, groups, scale)
        a, b, c, d = ((r - statistics.mean(first)) / deviation for r in first)
        assert advantages.tolist() == pytest.approx([a, b, c, 0, 0, 0, 0, 0, d], rel=1e-12)
        assert spread.tolist() == [True, False, False, False]


def test_the_order_of_answers_and_the_numbers_of_groups_do_not_matter():
    torch.manual_seed(0)
    rewards, groups = torch.randn(12), torch.arange(12) // 4
    order, names = torch.randperm(12), torch.tensor([2, 0, 1])
    advantages, _ = group_advantages(rewards, groups)
    assert advantages.dtype == torch.float32
    torch.testing.assert_close(group_advantages(rewards[order], names[groups[order]])[0], advantages[order])


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_a_constant_reward_moves_nothing(scale):
    """Nor does one that is constant but for rounding."""
    rewards = 0.1 + 1e-9 * torch.arange(21, dtype=torch.float64)
    advantages, spread = group_advantages(rewards, torch.arange(21) // 7, scale)
    assert not advantages.any() and not spread.any()
    assert not group_advantages(torch.zeros(0), torch.zeros(0, dtype=torch.long), scale)[0].numel()


def test_rewards_in_float32_are_compared_in_float64():
    """Three equal ones have a mean in float32 that is a little off, which is no spread."""
    rewards = torch.tensor([0.1, 0.1, 0.1, 1000.1, 1000.1, 1000.1])
    assert group_advantages(rewards, torch.arange(6) // 3)[1].tolist() == [False, False]


def test_a_small_spread_of_two_answers_counts():
    rewards = torch.tensor([0.5, 0.5001], dtype=torch.float64)
    for scale in ("group", "batch"):
        advantages, spread = group_advantages(rewards, torch.zeros(2, dtype=torch.long), scale)
        half = 5e-5 / (1e-4 / math.sqrt(2) + 1e-4)
        assert spread.all() and advantages.tolist() == pytest.approx([-half, half], rel=1e-9)


def test_an_unknown_scale_is_refused():
    with pytest.raises(ValueError, match="not by groups"):
        group_advantages(torch.zeros(2), torch.zeros(2, dtype=torch.long), "groups")


SEVERAL = torch.tensor([[1.0, 10.0], [0.0, 30.0], [NAN, 20.0], [NAN, NAN], [1.0, 5.0], [0.0, 5.0]], dtype=torch.float64)


def test_a_function_that_says_nothing_adds_nothing():
    found = weighted_sum(SEVERAL, [1.0, 0.1])
    assert found.tolist() == pytest.approx([2, 3, 2, NAN, 1.5, 0.5], nan_ok=True)
