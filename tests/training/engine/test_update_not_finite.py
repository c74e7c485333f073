"""A step with a number that is not finite changes nothing, and the scale of float16 follows the overflows."""

import math

import pytest
import torch

from model.errors import SproutError
from tests.support import random_network
from tests.training.engine.test_update import updater_of
from tests.training.support import SMALL
from training.engine import update
from training.engine.optimizers import build_optimizers
from training.engine.resume import restore_updater
from training.engine.update import Updater
from training.losses.next_token import next_token_loss


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
        if kind == "infinite loss with a finite gradient":
            loss = loss + math.inf
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
@pytest.mark.parametrize("kind", ["infinite loss", "infinite gradient", "infinite loss with a finite gradient"])
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


def test_other_types_have_no_scale_that_could_double(monkeypatch):
    monkeypatch.setattr(update, "SCALE_DOUBLES_AFTER", 2)
    line = Line("adamw")
    for _ in range(3):
        line.step()
    assert line.updater.scale == 1


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
