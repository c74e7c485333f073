"""Accumulation, clipping, learning rates, and how often a step waits for the device."""

import math
from contextlib import nullcontext

import pytest
import torch

from model.likelihood import IGNORE
from tests.support import random_network
from tests.training.support import SMALL
from training.engine.optimizers import build_optimizers
from training.engine.update import Measures, Updater, forward_backward
from training.losses.next_token import next_token_loss


def gradient_only(parameters) -> list[torch.optim.Optimizer]:
    """An optimizer that changes nothing, so that the gradients it was given can be looked at."""
    optimizer = torch.optim.SGD(parameters, lr=0.0)
    for group in optimizer.param_groups:
        group["peak_lr"] = 0.0
    return [optimizer]


def updater_of(parameters, nominal_tokens=100, grad_clip=0.0, fp16=False) -> Updater:
    return Updater(gradient_only(list(parameters)), nominal_tokens, grad_clip, fp16)


# --- accumulation -----------------------------------------------------------------------------------


def uneven_rows():
    """Eight rows of 12 tokens, of which 0 to 11 are trained."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, SMALL.vocab_size, (8, 12), generator=generator)
    targets = torch.randint(0, SMALL.vocab_size, (8, 12), generator=generator)
    for row, trained in enumerate((11, 3, 0, 7, 1, 11, 2, 5)):
        targets[row, trained:] = IGNORE
    return tokens, targets


def accumulated(batch_size: int, nominal_tokens: int = 96):
    """Loss and gradients of one step over all rows, `batch_size` rows at a time."""
    model = random_network(SMALL)
    updater = updater_of(model.parameters(), nominal_tokens)
    for tokens, targets in zip(*(rows.split(batch_size) for rows in uneven_rows()), strict=True):
        loss_sum = next_token_loss(model.features(tokens), model.lm_head.weight, targets)
        updater.backward(loss_sum, int((targets != IGNORE).sum()))
    result = updater.update(1.0)
    return result, {name: parameter.grad for name, parameter in model.named_parameters()}


def test_the_gradient_of_a_loss_function_is_scaled_as_that_of_a_given_loss():
    weight, batch = torch.nn.Parameter(torch.tensor([2.0, -1.0])), torch.tensor([1.0, 3.0])
    updater = updater_of([weight], nominal_tokens=8)
    found = forward_backward(lambda given: ((weight * given).sum(), given.sum()), batch, nullcontext, updater)
    assert [each.item() for each in found] == [-1, 4] and not found[0].requires_grad
    assert weight.grad.tolist() == [1 / 8, 3 / 8]
    forward_backward(lambda given: (weight * given).sum(), batch, nullcontext, updater, factor=2.0)
    assert weight.grad.tolist() == [2 + 1 / 8, 6 + 3 / 8]


@pytest.mark.parametrize("batch_size", [4, 2, 1])
def test_batch_and_accumulation_do_not_change_loss_or_gradients(batch_size):
    whole, expected = accumulated(8)
    result, gradients = accumulated(batch_size)
    assert result.trained == whole.trained == 40
    assert result.loss == pytest.approx(whole.loss, rel=1e-6)
    assert result.grad_norm == pytest.approx(whole.grad_norm, rel=1e-6)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-6)


def test_the_mean_is_over_trained_tokens_whatever_was_expected():
    """The nominal number of tokens is only a guess on the way: another one gives the same."""
    model = random_network(SMALL)
    tokens, targets = uneven_rows()
    loss = next_token_loss(model.features(tokens), model.lm_head.weight, targets) / 40
    loss.backward()
    for nominal in (1, 40, 100_000):
        result, gradients = accumulated(2, nominal)
        assert result.loss == pytest.approx(loss.item(), rel=1e-6)
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-5, atol=1e-6)


def test_steps_do_not_mix():
    parameter = torch.nn.Parameter(torch.ones(3))
    updater = updater_of([parameter])
    for factor in (5.0, 2.0):
        updater.backward((parameter * factor).sum() * 10, 10)
        result = updater.update(1.0)
        assert result.loss == pytest.approx(3 * factor)
        assert torch.allclose(parameter.grad, torch.full((3,), factor))


def test_what_an_interrupted_step_has_seen_is_forgotten():
    parameter = torch.nn.Parameter(torch.ones(3))
    updater = updater_of([parameter])
    updater.backward((parameter * 1000).sum(), 10)
    updater.discard()
    updater.backward((parameter * 2).sum(), 1)
    result = updater.update(1.0)
    assert (result.loss, result.trained) == (6.0, 1)
    assert torch.allclose(parameter.grad, torch.full((3,), 2.0))


def test_a_step_without_rows_has_no_gradient_of_the_step_before():
    """One of several processes may have no rows in the last step of an epoch."""
    parameter = torch.nn.Parameter(torch.ones(3))
    updater = updater_of([parameter])
    updater.backward(parameter.sum(), 1)
    updater.update(1.0)
    result = updater.update(1.0)
    assert (result.trained, result.grad_norm) == (0, 0.0)
    assert parameter.grad is None


def test_trained_tokens_may_be_counted_on_the_device():
    parameter = torch.nn.Parameter(torch.ones(2))
    updater = updater_of([parameter])
    for _ in range(2):
        updater.backward(parameter.sum(), torch.tensor(3))
    assert updater.update(1.0).trained == 6


def test_the_mean_may_be_over_pairs_while_tokens_are_reported():
    parameter = torch.nn.Parameter(torch.tensor([2.0]))
    updater = updater_of([parameter])
    for pairs, tokens in ((3, 100), (1, 50)):
        updater.backward((parameter * pairs).sum(), pairs, tokens)
    result = updater.update(1.0)
    assert (result.loss, result.trained) == (2.0, 150)
    assert parameter.grad.item() == pytest.approx(1.0)


def measured(measures: Measures) -> dict[str, float]:
    """The measures of one update."""
    parameter = torch.nn.Parameter(torch.ones(1))
    updater = updater_of([parameter])
    updater.backward(parameter.sum(), 1)
    return updater.update(1.0, measures).measures


def test_ranges_are_those_of_all_micro_batches_and_begin_anew_with_each_update():
    measures = Measures()
    for values in ([0.5, -2.0], [3.0, 1.0], [0.0, 0.0]):
        measures.add_range(reward=torch.tensor(values))
    assert measured(measures) == {"min_reward": -2.0, "max_reward": 3.0}
    measures.add_range(reward=torch.tensor([[1.0], [2.0]]))
    assert measured(measures) == {"min_reward": 1.0, "max_reward": 2.0}


def test_a_range_that_nobody_has_measured_is_left_out(monkeypatch):
    """With several processes its name is known from the update before."""
    measures = Measures()
    measures.add_range(ratio=torch.tensor([1.0, 2.0]))
    assert measured(measures) == {"min_ratio": 1.0, "max_ratio": 2.0}
    monkeypatch.setattr("training.engine.distributed.world_size", lambda: 2)
    for name in ("sum_over_processes", "largest_over_processes"):
        monkeypatch.setattr(f"training.engine.distributed.{name}", lambda tensor: tensor)
    assert measures.read([1.0], [], torch.device("cpu"))[1] == {}


def test_measures_are_means_over_all_micro_batches_and_begin_anew_with_each_update():
    measures = Measures()
    for count, right in ((4, 1.0), (12, 11.0)):
        measures.add(count, accuracy=torch.tensor(right), margin=2.0 * count)
    assert measured(measures) == {"accuracy": 12 / 16, "margin": 2.0}
    assert measured(measures) == {}
    measures.add(2, surprise=3.0)  # an update may measure what the ones before did not
    measures.add_range(ratio=torch.tensor([1.0, 2.0]))
    assert measured(measures) == {"surprise": 1.5, "min_ratio": 1.0, "max_ratio": 2.0}


def test_measures_of_a_thousand_micro_batches_are_summed_in_float32_and_those_of_nothing_left_out():
    """In bfloat16 the sum would stop growing at 256."""
    measures = Measures()
    for _ in range(1000):
        measures.add(1, accuracy=torch.ones((), dtype=torch.bfloat16))
    measures.add(0, margin=torch.tensor(0.0))
    assert measured(measures) == {"accuracy": 1.0}


def test_a_request_to_stop_is_passed_on():
    updater = updater_of([torch.nn.Parameter(torch.ones(1))])
    assert updater.update(1.0, interrupted=True).interrupted
    assert not updater.update(1.0).interrupted


def test_a_step_without_trained_tokens_changes_nothing():
    model = random_network(SMALL)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    updater = Updater(build_optimizers(model, "muon", 0.02, 0.1), 100, 1.0, False)
    tokens, targets = uneven_rows()
    loss_sum = next_token_loss(model.features(tokens), model.lm_head.weight, torch.full_like(targets, IGNORE))
    updater.backward(loss_sum, 0)
    result = updater.update(1.0)
    assert (result.trained, result.skipped) == (0, None)
    assert math.isnan(result.loss) and not result.is_finite  # the mean of nothing, which is not written down
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert not any(optimizer.state for optimizer in updater.optimizers)


# --- clipping and learning rate ---------------------------------------------------------------------


@pytest.mark.parametrize("grad_clip", [0.0, 0.5, 1e9])
def test_clipping_is_by_the_norm_of_all_gradients_together(grad_clip):
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.nn.Parameter(torch.zeros(size)) for size in (3, 5)]
    factors = [torch.randn(p.shape, generator=generator) for p in parameters]
    updater = updater_of(parameters, grad_clip=grad_clip)
    updater.backward(sum((p * f).sum() for p, f in zip(parameters, factors, strict=True)) * 8, 8)
    result = updater.update(1.0)

    norm = torch.cat(factors).norm().item()
    assert result.grad_norm == pytest.approx(norm)  # as it was before clipping
    scale = grad_clip / norm if grad_clip and grad_clip < norm else 1.0
    for parameter, factor in zip(parameters, factors, strict=True):
        torch.testing.assert_close(parameter.grad, factor * scale, rtol=1e-5, atol=1e-7)


def test_each_group_learns_at_its_own_peak_times_the_schedule():
    model = random_network(SMALL)
    updater = Updater(build_optimizers(model, "muon", 0.02, 0.1), 100, 1.0, False)
    for factor in (0.25, 0.5):
        updater.backward(model(torch.tensor([[1, 2, 3]])).square().sum(), 3)
        updater.update(factor)
        for optimizer in updater.optimizers:
            for group in optimizer.param_groups:
                assert group["lr"] == factor * group["peak_lr"]


# --- waiting for the device -------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_step_waits_for_the_device_once(monkeypatch, optimizer):
    """Whatever turns a tensor into a number of the host waits."""
    model, measures, waits = random_network(SMALL), Measures(), []
    updater = Updater(build_optimizers(model, optimizer, 0.02, 0.1), 100, 1.0, True)
    tokens, _ = uneven_rows()
    for name in "item tolist numpy cpu nonzero __bool__ __int__ __float__ __index__ __array__".split():
        honest = getattr(torch.Tensor, name)

        def watched(tensor, *more, name=name, honest=honest, **named):
            waits.append(name)
            return honest(tensor, *more, **named)

        monkeypatch.setattr(torch.Tensor, name, watched)
    for _ in range(3):
        for rows in tokens.split(4):
            features = model.features(rows)
            updater.backward(features.square().sum(), torch.tensor(12), 7)
            measures.add(torch.tensor(3), entropy=features.sum())
            measures.add_range(reward=features)
        updater.update(0.5, measures)
        assert waits == ["tolist"]
        waits.clear()
