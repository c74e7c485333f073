"""A gradient that is only rounding updates nothing, since optimizers would magnify it to full steps."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from model.log_probabilities import token_log_probabilities
from tests.support import random_network
from tests.training.support import SMALL
from training.engine.no_update import note
from training.engine.optimizers import build_optimizers
from training.engine.update import Updater


@pytest.fixture(params=["adamw", "muon"])
def line(request):
    """A network and its updater."""
    model = random_network(SMALL)
    optimizers = build_optimizers(model, request.param, 0.01, weight_decay=0.1, muon_dtype=torch.float32)
    return model, Updater(optimizers, nominal_count=4, grad_clip=1.0, fp16=False)


def weights(model) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def step(line, loss_sum, count=4):
    """An update by a loss; returns its result and whether the weights have changed."""
    model, updater = line
    before = weights(model)
    updater.backward(loss_sum, count)
    result = updater.update(1.0)
    return result, any(not torch.equal(a, b) for a, b in zip(before, weights(model)))


def preference(model, chosen, rejected) -> torch.Tensor:
    """The loss of pairs at the start, where policy and reference are the same."""
    tokens = torch.cat([chosen, rejected])
    found, _ = token_log_probabilities(model.features(tokens[:, :-1]), model.lm_head.weight, tokens[:, 1:])
    c, r = found.sum(1).view(2, -1)
    return -F.logsigmoid((c - c.detach()) - (r - r.detach())).sum()


def test_pairs_that_contradict_one_another_move_no_weight(line):
    """Their gradients cancel out, but for the order in which sums are made."""
    answers = torch.randint(0, SMALL.vocab_size, (4, 30), generator=torch.Generator().manual_seed(0))
    result, moved = step(line, preference(line[0], answers, answers.flip(0)))
    assert 0 < result.grad_norm < line[1].rounding and result.no_gradient and not moved and result.is_finite
    result, moved = step(line, preference(line[0], answers[:2], answers[2:]), count=2)
    assert moved and not result.no_gradient and line[1].without_gradient == 1
    # No momentum goes on in its place.
    result, moved = step(line, 0 * preference(line[0], answers, answers.flip(0)))
    assert result.grad_norm == 0 and result.no_gradient and not moved


@pytest.mark.parametrize(
    "name, norm, words",
    [("model", 3e-6, "gradient in step 7 is only rounding"), ("critic", 0.0, "gradient of the critic in step 7 is 0")],
)
def test_the_first_such_update_of_a_network_is_said(name, norm, words):
    """In PPO those of the policy go on while all values of the critic are clipped."""
    said, updater = [], SimpleNamespace(without_gradient=0)
    step = SimpleNamespace(number=7, _updaters={name: updater}, _machine=SimpleNamespace(say=said.append))
    for updater.without_gradient in (1, 2):
        note(step, name, SimpleNamespace(no_gradient=True, skipped=None, grad_norm=norm), {})
    assert len(said) == 1 and words in said[0]


@pytest.mark.parametrize("times, moves", [(0.9, False), (1.1, True)])
def test_a_gradient_above_the_bound_is_applied_however_small_it_is(line, times, moves):
    model, updater = line
    size = updater.rounding / sum(parameter.numel() for parameter in updater.parameters) ** 0.5
    _, moved = step(line, 4 * times * size * sum(parameter.sum() for parameter in model.parameters()))
    assert moved == moves


def test_of_a_large_network_the_bound_is_the_eps_of_adam():
    parameter = torch.nn.Parameter(torch.empty(4, 10**12, device="meta"))
    assert Updater([torch.optim.SGD([parameter])], 1, 1.0, False).rounding == pytest.approx(1e-8 * 2e6)
