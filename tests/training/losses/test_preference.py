"""Preference losses against their formulas in Python's float64, at the start, at the extremes, and their gradients."""

import math

import pytest
import torch

from training.losses.preference import LOSSES, WITHOUT_REFERENCE, Completions, Settings, at_the_start, log1mexp
from training.stages.stage_arguments import LOSS_TYPES


def test_the_command_line_names_all_losses():
    assert (*LOSSES, "kto") == LOSS_TYPES  # which is not of pairs: test_kto.py


SETTINGS = Settings(beta=0.3, label_smoothing=0.1, gamma=0.7, odds_weight=0.4)


def pairs(count=6, seed=0) -> Completions:
    torch.manual_seed(seed)
    lengths = torch.randint(1, 9, (2, count)).double()
    sums = [-lengths[i % 2] * torch.rand(count, dtype=torch.float64) * 3 for i in range(4)]
    chosen, rejected = (each.requires_grad_() for each in sums[:2])
    return Completions(chosen, rejected, lengths[0], lengths[1], sums[2], sums[3])


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def formula(name: str, c: float, r: float, len_c: float, len_r: float, ref_c: float, ref_r: float) -> float:
    """Of one pair, written out with the math module."""
    beta, e, gamma, weight = 0.3, 0.1, 0.7, 0.4
    cr, rr = c - ref_c, r - ref_r
    margin, means = beta * (cr - rr), cr / len_c - rr / len_r
    odds_c, odds_r = (math.exp(x / n) / (1 - math.exp(x / n)) for x, n in ((c, len_c), (r, len_r)))
    return {
        "sigmoid": -math.log(sigmoid(margin)),
        "sigmoid_norm": -math.log(sigmoid(beta * means)),
        "hinge": max(0.0, 1 - margin),
        "ipo": (means - 1 / (2 * beta)) ** 2,
        "robust": (-(1 - e) * math.log(sigmoid(margin)) + e * math.log(sigmoid(-margin))) / (1 - 2 * e),
        "cdpo": -(1 - e) * math.log(sigmoid(margin)) - e * math.log(sigmoid(-margin)),
        "apo_zero": 1 - sigmoid(beta * cr) + sigmoid(beta * rr),
        "simpo": -math.log(sigmoid(beta * (c / len_c - r / len_r) - gamma)),
        "orpo": -c / len_c - weight * math.log(sigmoid(math.log(odds_c / odds_r))),
    }[name]


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_is_its_formula(name):
    pair = pairs()
    found = LOSSES[name](pair, SETTINGS)
    fields = (pair.chosen, pair.rejected, pair.chosen_tokens, pair.rejected_tokens)
    columns = zip(*(each.tolist() for each in (*fields, pair.reference_chosen, pair.reference_rejected)))
    assert found.tolist() == pytest.approx([formula(name, *column) for column in columns], rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_each_gradient_is_that_of_finite_differences(name):
    pair = pairs()

    def loss(chosen, rejected):
        fixed = (pair.chosen_tokens, pair.rejected_tokens, pair.reference_chosen, pair.reference_rejected)
        return LOSSES[name](Completions(chosen, rejected, *fixed), SETTINGS)

    assert torch.autograd.gradcheck(loss, (pair.chosen, pair.rejected))


@pytest.mark.parametrize("name", ["sigmoid", "sigmoid_norm", "apo_zero", "simpo", "orpo"])
def test_a_likelier_chosen_and_an_unlikelier_rejected_answer_cost_less(name):
    """Of the others, hinge is flat beyond its margin, and ipo, cdpo and robust have a best one."""
    pair = pairs()
    LOSSES[name](pair, SETTINGS).sum().backward()
    assert (pair.chosen.grad < 0).all() and (pair.rejected.grad > 0).all()


@pytest.mark.parametrize(
    "name, value",
    [
        *((name, math.log(2)) for name in ("sigmoid", "sigmoid_norm", "robust", "cdpo")),
        ("hinge", 1),
        ("ipo", 25),
        ("apo_zero", 1),
    ],
)
def test_the_loss_while_policy_and_reference_are_one(name, value):
    assert at_the_start(name, Settings()) == pytest.approx(value, rel=1e-12)
    if name == "ipo":
        assert at_the_start(name, Settings(beta=0.2)) == pytest.approx(6.25, rel=1e-12)


def test_losses_without_a_reference_need_none():
    for name in WITHOUT_REFERENCE:
        full = pairs()
        bare = Completions(full.chosen, full.rejected, full.chosen_tokens, full.rejected_tokens)
        assert torch.equal(LOSSES[name](bare, SETTINGS), LOSSES[name](full, SETTINGS))
        assert at_the_start(name, SETTINGS) is None


def test_log1mexp_keeps_its_digits_at_both_ends():
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        values = [-1e-12, -1e-9, -1e-6, -1e-3, -0.5, -math.log(2), -1.0, -5.0, -15.0, -40.0, -80.0]
        x = torch.tensor(values, dtype=dtype, requires_grad=True)
        values = x.tolist()
        expected = [math.log(-math.expm1(v)) if v > -0.5 else math.log1p(-math.exp(v)) for v in values]
        assert log1mexp(x).tolist() == pytest.approx(expected, rel=tolerance, abs=0)
        log1mexp(x).sum().backward()
        assert x.grad.tolist() == pytest.approx([-1 / math.expm1(-v) for v in values], rel=tolerance, abs=0)
    certain = log1mexp(torch.zeros(1))
    assert certain.isfinite().all()
