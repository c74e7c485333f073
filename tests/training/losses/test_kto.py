"""The loss of labelled answers against its formula in Python's float64, and what must hold of it."""

import math

import pytest
import torch

from training.losses.kto import Answers, balanced_weights, kto, reference_point


def answers(count=8, seed=0, point=0.4) -> Answers:
    torch.manual_seed(seed)
    policy, reference = -3 * torch.rand(2, count, dtype=torch.float64)
    return Answers(policy.requires_grad_(), reference, torch.arange(count) % 3 > 0, point)


def formula(ratio: float, good: bool, point: float, beta: float, weights: tuple[float, float]) -> float:
    sign, weight = (1, weights[0]) if good else (-1, weights[1])
    return weight * (1 - 1 / (1 + math.exp(-beta * sign * (ratio - point))))


def test_the_loss_and_its_gradient_are_those_of_the_formula():
    found = answers()
    losses = kto(found, 0.3, 1.5, 0.7)
    ratios = found.ratio.tolist()
    expected = [formula(r, good, 0.4, 0.3, (1.5, 0.7)) for r, good in zip(ratios, found.good.tolist())]
    assert losses.tolist() == pytest.approx(expected, rel=1e-12)
    losses.sum().backward()
    for r, good, slope in zip(ratios, found.good.tolist(), found.policy.grad.tolist()):
        around = [formula(r + h, good, 0.4, 0.3, (1.5, 0.7)) for h in (1e-6, -1e-6)]
        assert slope == pytest.approx((around[0] - around[1]) / 2e-6, rel=1e-6) and (slope < 0) == good


def test_far_from_the_reference_nothing_overflows():
    ratio, good = torch.tensor([-1e6, 1e6, -1e6, 1e6]), torch.tensor([True, True, False, False])
    assert kto(Answers(ratio, torch.zeros(4), good), 1.0).tolist() == [1, 0, 0, 1]


def test_the_reference_point_is_a_mean_that_is_never_negative_and_has_no_gradient():
    total = torch.tensor(6.0, requires_grad=True)
    point = reference_point(total, torch.tensor(4.0))
    assert point.item() == 1.5 and not point.requires_grad
    assert reference_point(torch.tensor(-6.0), torch.tensor(4.0)).item() == 0
    assert reference_point(torch.tensor(0.0), torch.tensor(0.0)).item() == 0  # no answer stands behind another prompt


@pytest.mark.parametrize(
    "good, bad, weights",
    [
        (10, 10, (1, 1)),
        (12, 9, (1, 1)),  # the limit itself
        (20, 10, (1, 2)),
        (10, 40, (4, 1)),
        (9, 10, (10 / 9, 1)),
        (5, 0, (1, 1)),
    ],
)
def test_the_fewer_answers_weigh_as_much_as_the_others_together(good, bad, weights):
    assert balanced_weights(good, bad) == weights
