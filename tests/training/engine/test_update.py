"""Accumulation, clipping, loss scaling, and what happens to numbers that are not finite."""

import math

import pytest
import torch

from model.errors import SproutError
from model.likelihood import IGNORE
from tests.support import random_network
from tests.training.support import SMALL
from training.engine import update
from training.engine.optimizers import build_optimizers
from training.engine.resume import restore_updater
from training.engine.update import Measures, Updater
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


def test_measures_are_means_over_all_micro_batches_and_begin_anew_with_each_update():
    measures = Measures()
    for count, right in ((4, 1.0), (12, 11.0)):
        measures.add(count, accuracy=torch.tensor(right), margin=2.0 * count)
    assert measured(measures) == {"accuracy": 12 / 16, "margin": 2.0}
    assert measured(measures) == {}
    measures.add(2, surprise=3.0)  # an update may measure what the ones before did not
    measures.add_range(ratio=torch.tensor([1.0, 2.0]))
    assert measured(measures) == {"surprise": 1.5, "min_ratio": 1.0, "max_ratio": 2.0}


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
    assert math.isnan(result.loss)  # the mean of nothing
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
    updater.backward(model(torch.tensor([[1, 2, 3]])).square().sum(), 3)
    updater.update(0.25)
    for optimizer in updater.optimizers:
        for group in optimizer.param_groups:
            assert group["lr"] == 0.25 * group["peak_lr"]


# --- numbers that are not finite --------------------------------------------------------------------


class Line:
    """A network and its optimizer, to be compared to the bit before and after a step."""

    def __init__(self, optimizer: str):
        self.model = random_network(SMALL)
        self.updater = Updater(build_optimizers(self.model, optimizer, 0.02, 0.1), 10, 1.0, False)

    def step(self, kind: str = "good"):
        model = self.model
        features = model.features(torch.tensor([[1, 2, 3]]))
        loss = next_token_loss(features, model.lm_head.weight, torch.tensor([[2, 3, 4]]))
        if kind == "infinite loss":
            loss = loss * math.inf
        if kind == "infinite gradient":  # of a loss that is finite: sqrt(0) has an infinite slope
            loss = loss + (model.model.norm.weight.sum() * 0).sqrt()
        self.updater.backward(loss, 3)
        return self.updater.update(1.0)

    def everything(self) -> list[torch.Tensor]:
        state = [
            tensor.clone()
            for optimizer in self.updater.optimizers
            for values in optimizer.state.values()
            for tensor in values.values()
        ]
        return [p.detach().clone() for p in self.model.parameters()] + state


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("kind", ["infinite loss", "infinite gradient"])
def test_a_step_that_is_not_finite_leaves_everything_as_it_was(optimizer, kind):
    line = Line(optimizer)
    line.step()
    before = line.everything()
    result = line.step(kind)
    assert result.skipped == "non-finite"
    assert line.updater.skipped == {"non-finite": 1, "overflow": 0}
    after = line.everything()
    assert len(after) == len(before) and all(map(torch.equal, after, before))
    assert line.step().skipped is None
    assert all(torch.isfinite(tensor).all() for tensor in line.everything())
    assert not all(map(torch.equal, line.everything(), before))


def test_three_in_a_row_stop_the_run():
    line = Line("muon")
    line.step()
    before = line.everything()
    line.step("infinite loss")
    line.step("infinite gradient")
    with pytest.raises(SproutError, match=r"3 steps in a row.*touched the weights"):
        line.step("infinite loss")
    assert all(map(torch.equal, line.everything(), before))


def test_a_good_step_in_between_starts_the_count_anew():
    line = Line("adamw")
    for kind in ("infinite loss", "infinite loss", "good", "infinite loss", "infinite loss", "good"):
        line.step(kind)
    assert line.updater.skipped["non-finite"] == 4


def test_the_count_survives_a_resume():
    line, other = Line("adamw"), Line("adamw")
    line.step("infinite loss")
    line.step("infinite loss")
    restore_updater(other.updater, line.updater.state_dict())
    with pytest.raises(SproutError, match=r"3 steps in a row"):
        other.step("infinite loss")


# --- float16 ----------------------------------------------------------------------------------------


class Half:
    """One parameter with a loss in float16, where a loss scale above 65,504 overflows on the way back."""

    def __init__(self, nominal_tokens: int = 1):
        self.parameter = torch.nn.Parameter(torch.full((4,), 0.5))
        self.updater = updater_of([self.parameter], nominal_tokens, fp16=True)

    def step(self, factor: float = 1.0):
        self.updater.backward((self.parameter.half() * factor).sum(), 1)
        return self.updater.update(1.0)


def test_an_overflow_halves_the_scale_and_is_counted_apart():
    half = Half()
    assert half.updater.scale == 2**16
    result = half.step()
    assert result.skipped == "overflow" and math.isfinite(result.loss)
    assert half.updater.scale == 2**15
    assert half.updater.skipped == {"non-finite": 0, "overflow": 1}
    assert half.step().skipped is None
    assert half.updater.scale == 2**15


def test_any_number_of_overflows_lets_the_run_go_on():
    half = Half()
    results = [half.step(factor=1024.0) for _ in range(12)]  # overflows until the scale is 2^5
    assert [result.skipped for result in results] == ["overflow"] * 11 + [None]
    assert half.updater.scale == 2**5


def test_the_scale_doubles_after_enough_good_steps(monkeypatch):
    monkeypatch.setattr(update, "SCALE_DOUBLES_AFTER", 3)
    half = Half()
    half.updater.scale = 8.0
    scales = []
    for _ in range(7):
        half.step()
        scales.append(half.updater.scale)
    assert scales == [8, 8, 16, 16, 16, 32, 32]
    half.updater.scale = 2.0**16
    half.step()  # an overflow starts the count anew
    scales = []
    for _ in range(3):
        half.step()
        scales.append(half.updater.scale)
    assert scales == [2**15, 2**15, 2**16]


def test_gradients_do_not_depend_on_the_scale():
    for scale in (1.0, 2.0**10, 2.0**14):
        half = Half()
        half.updater.scale = scale
        result = half.step(factor=3.0)
        assert torch.equal(half.parameter.grad, torch.full((4,), 3.0))
        assert result.grad_norm == pytest.approx(6.0)
        assert result.loss == pytest.approx(6.0)


def test_a_loss_that_is_not_finite_is_no_overflow():
    half = Half()
    assert half.step(factor=math.inf).skipped == "non-finite"
    assert half.updater.scale == 2**16


def test_a_scale_of_one_cannot_be_blamed():
    half = Half()
    half.updater.scale = 1.0
    half.updater.backward((half.parameter.sum() * 0).sqrt(), 1)
    assert half.updater.update(1.0).skipped == "non-finite"


def test_scale_and_counts_are_saved():
    half, other = Half(), Half()
    half.step()
    half.step()
    restore_updater(other.updater, half.updater.state_dict())
    assert other.updater.scale == 2**15
    assert other.updater.good_steps == 1
    assert other.updater.skipped == {"non-finite": 0, "overflow": 1}


def test_a_state_of_another_precision_brings_no_scale():
    states = {fp16: updater_of([torch.nn.Parameter(torch.zeros(2))], fp16=fp16).state_dict() for fp16 in (False, True)}
    for fp16, scale in ((True, update.FIRST_SCALE), (False, 1.0)):
        updater = updater_of([torch.nn.Parameter(torch.zeros(2))], fp16=fp16)
        restore_updater(updater, states[not fp16])
        assert updater.scale == scale
    updater = updater_of([torch.nn.Parameter(torch.zeros(2))], fp16=True)
    restore_updater(updater, states[True] | {"scale": 8.0})
    assert updater.scale == 8.0


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
