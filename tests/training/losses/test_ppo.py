"""What PPO adds, against formulas in Python's float64, action by action."""

import math
import statistics
import warnings

import pytest
import torch

from training.losses.advantages import moments
from training.losses.ppo import (
    clipped_policy_loss,
    clipped_value_loss,
    explained_variance,
    next_kl_coef,
    shaped_rewards,
)

LENGTHS = (3, 1, 4)
MASK = torch.arange(5) < torch.tensor(LENGTHS)[:, None]


def drawn(count: int, seed=0) -> list[torch.Tensor]:
    """So many tensors [S, A], float64, with garbage where there is no action; the first is a leaf."""
    torch.manual_seed(seed)
    found = [each.masked_fill(~MASK, math.nan) for each in torch.randn(count, 3, 5, dtype=torch.float64)]
    return [found[0].requires_grad_(), *found[1:]]


def by_answer(mask: torch.Tensor) -> list[torch.Tensor]:
    """The mask [S, A] of each answer alone."""
    return [mask & (torch.arange(len(mask)) == number)[:, None] for number in range(len(mask))]


def columns(*tensors) -> list[tuple[float, ...]]:
    return list(zip(*(each.detach()[MASK].tolist() for each in tensors)))


def test_the_policy_loss_is_its_formula():
    log_p, noise, advantages = drawn(3)
    old = (log_p + 0.4 * noise).detach()
    found = clipped_policy_loss(log_p, old, advantages, MASK, 0.1, 0.3)
    losses, slopes = [], []
    for now, before, a in columns(log_p, old, advantages):
        ratio = math.exp(now - before)
        losses.append(max(-a * ratio, -a * min(max(ratio, 0.9), 1.3)))
        slopes.append(-a * ratio if (ratio < 1.3 if a > 0 else ratio > 0.9) else 0.0)
    assert (found.loss_sum / found.count).item() == pytest.approx(sum(losses) / 8, rel=1e-12)
    (found.loss_sum / found.count).backward()
    assert log_p.grad[MASK].tolist() == pytest.approx([slope / 8 for slope in slopes], rel=1e-12)
    assert 0 in slopes and any(slopes) and not log_p.grad[~MASK].any()


def test_the_value_loss_is_its_formula():
    values, old, returns = drawn(3)
    found = clipped_value_loss(values, old, returns, MASK, 0.5)
    losses, slopes, limited = [], [], 0
    for value, before, target in columns(values, old, returns):
        near = before + min(max(value - before, -0.5), 0.5)
        free_is_larger = (value - target) ** 2 >= (near - target) ** 2
        losses.append(0.5 * max((value - target) ** 2, (near - target) ** 2))
        slopes.append(value - target if free_is_larger else 0.0)
        limited += not free_is_larger
    assert (found.loss_sum / found.count).item() == pytest.approx(sum(losses) / 8, rel=1e-12)
    (found.loss_sum / found.count).backward()
    assert values.grad[MASK].tolist() == pytest.approx([slope / 8 for slope in slopes], rel=1e-12)
    assert 0 < limited < 8 and not values.grad[~MASK].any()
    measures = {key: (total.item(), count.item()) for key, (total, count) in found.measures.items()}
    assert measures == {
        "value/clip_ratio": (limited, 8),
        "value/mean": (pytest.approx(values[MASK].sum().item()), 8),
    }


def test_the_score_is_the_reward_of_the_last_action():
    (kl,) = drawn(1)
    ended = torch.tensor([True, False, True])
    scores = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
    found = shaped_rewards(scores, kl, MASK, 0.1, ended, 3.0).tolist()
    for row, (n, last) in enumerate(zip(LENGTHS, (1.0, -1.0, -1.0))):
        expected = [-0.1 * each for each in kl[row, :n].tolist()]
        expected[-1] += last
        assert found[row] == pytest.approx([*expected, *[0] * (5 - n)], rel=1e-12)


def test_an_answer_without_actions_has_no_rewards():
    """And an action may stand behind tokens of the environment."""
    mask = torch.tensor([[False, False, False], [True, False, True]])
    found = shaped_rewards(torch.tensor([5.0, 7.0]), torch.ones(2, 3), mask, 1.0, torch.tensor([True, True]))
    assert found.tolist() == [[0, 0, 0], [-1, 0, 6]]


def test_explained_variance():
    values, returns = drawn(2)
    errors = [target - value for value, target in columns(values, returns)]
    targets = returns[MASK].tolist()
    expected = 1 - statistics.pvariance(errors) / statistics.pvariance(targets)

    def explained(values, returns):
        return explained_variance(moments(returns - values, MASK), moments(returns, MASK))

    assert explained(values, returns) == pytest.approx(expected, rel=1e-9)
    assert explained(returns + 3, returns) == pytest.approx(1)  # a constant error is no variance
    assert explained(torch.zeros(3, 5), returns) == pytest.approx(0)
    assert explained(returns, torch.full((3, 5), 0.1)) == 0


def test_what_is_only_rounding_is_neither_a_variance_nor_a_negative_one():
    """Returns that differ in the last digit of float32 vary by nothing; a constant error leaves nothing unexplained."""
    mask = torch.ones(1, 7, dtype=torch.bool)
    returns = torch.full((1, 7), 1000.0)
    returns[0, 0] = torch.nextafter(returns[0, 0], torch.tensor(2000.0))
    errors = torch.randn(1, 7, generator=torch.Generator().manual_seed(0))
    assert explained_variance(moments(errors, mask), moments(returns, mask)) == 0
    constant = torch.full((1, 7), 1000.1, dtype=torch.float64)  # by rounding, its squares have a negative variance
    assert explained_variance(moments(constant, mask), moments(1e-3 * errors, mask)) == 1


def test_what_a_critic_explains_is_of_the_actions_of_all_processes():
    """The mean over processes is another number; and one without prompts, in the last step of an epoch, has none."""
    values, returns = (each.detach() for each in drawn(2))
    parts = [torch.stack([moments(each, mask) for each in (returns - values, returns)]) for mask in by_answer(MASK)]
    whole = torch.stack([moments(returns - values, MASK), moments(returns, MASK)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nothing = torch.stack([moments(values[:0], MASK[:0])] * 2)
        assert explained_variance(*nothing) == 0
        assert explained_variance(*sum(parts, nothing)) == pytest.approx(explained_variance(*whole), rel=1e-9)


def test_the_coefficient_follows_the_kl():
    assert next_kl_coef(0.1, kl=6.0, target=6.0, horizon=10) == 0.1
    assert next_kl_coef(0.1, kl=6.6, target=6.0, horizon=10) == pytest.approx(0.101)
    assert next_kl_coef(0.1, kl=600.0, target=6.0, horizon=10) == pytest.approx(0.102)
    assert next_kl_coef(0.1, kl=0.0, target=6.0, horizon=10) == pytest.approx(0.098)
    coefficient = 0.1
    for _ in range(50):  # a KL that answers to its coefficient settles at the target
        coefficient = next_kl_coef(coefficient, kl=1 / coefficient, target=6.0, horizon=10)
    assert coefficient == pytest.approx(1 / 6, rel=0.05)
