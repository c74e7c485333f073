"""What a step notes of its update, and when validation and samples are due."""

from types import SimpleNamespace

import pytest
import torch

from training.engine.plan import Plan
from training.engine.state import RunState
from training.engine.step import Step
from training.engine.update import Measures, Updater

# Seven rows of five tokens, two in a step: the last step of an epoch has one row.
PLAN = Plan(
    epochs=2,
    rows_per_epoch=7,
    row_length=5,
    batch_size=2,
    accumulation_steps=1,
    world_size=1,
    max_steps=None,
    learning_rate=0.1,
    warmup_steps=0,
    schedule="wsd",
)


def step_at(index: int, eval_interval=3, sample_interval=0, updates=()) -> Step:
    state = RunState(step=index, tokens=100, updates=list(updates))
    machine = SimpleNamespace(
        interrupts=SimpleNamespace(received=None), peak_memory=lambda: 1.0, device=torch.device("cpu"), ends=None
    )
    parameters = {name: torch.nn.Parameter(torch.ones(2)) for name in ("model", "critic")}
    updaters = {}
    for name, parameter in parameters.items():
        optimizer = torch.optim.SGD([parameter], lr=1.0)
        optimizer.param_groups[0]["peak_lr"] = 1.0
        updaters[name] = Updater([optimizer], 10, 0.0, False)
    settings = {"seed": 1, "eval_interval": eval_interval, "sample_interval": sample_interval}
    step = Step(state, PLAN, machine, updaters, Measures(), 0.25, **settings)
    step.parameter, step.other = parameters.values()
    return step


def test_a_line_has_the_rate_the_loss_and_the_share_of_the_rows_that_the_step_has():
    step = step_at(3)
    assert (step.number, step.epoch, step.places) == (4, 0, range(6, 7))
    step.backward((2 * step.parameter).sum(), 4, trained=3)
    step.backward(step.other.sum(), 2, network="critic")
    step.measure(4, accuracy=3.0)
    step.record(before=torch.tensor(1.5))
    assert not step.is_complete
    step.update()
    assert step.is_complete
    expected = {"step": 4, "tokens": 103, "loss": 1.0, "lr": 0.025, "trained_share": 3 / 5, "accuracy": 0.75}
    assert {name: step.metrics[name] for name in expected} == pytest.approx(expected)
    assert step.parameter.tolist() == step.other.tolist() == [1 - 0.25 * 0.5] * 2
    assert step.metrics["grad_norm"] == pytest.approx(2 / 4 * 2**0.5) and step.metrics["before"] == 1.5
    assert step.metrics["critic/loss"] == pytest.approx(1.0) and step.metrics["critic/grad_norm"] == pytest.approx(
        2**-0.5
    )
    assert step._machine.ends is False
    with pytest.raises(RuntimeError, match="a step is one update"):
        step.update()


def test_a_step_without_trained_tokens_has_no_loss_and_one_that_was_stopped_tells_the_machine():
    step = step_at(0)
    step._machine.interrupts.received = 15
    step.update()
    assert step.metrics["loss"] is step.metrics["grad_norm"] is None and step.metrics["trained_share"] == 0
    assert step._machine.ends is True


def test_an_update_that_was_made_before_an_interruption_is_not_made_again():
    step = step_at(1, updates=[{"step": 2, "loss": 0.5}])
    assert step.is_complete and step.metrics == {"step": 2, "loss": 0.5}
    before = step.parameter.detach().clone()
    assert list(step.batches([object()])) == []
    step.update()
    assert torch.equal(step.parameter, before) and step._state.updates == [{"step": 2, "loss": 0.5}]


@pytest.mark.parametrize("interval, due", [(0, []), (3, [3, 6, 8]), (8, [8]), (100, [8])])
def test_validation_and_samples_are_due_at_their_intervals_and_at_the_end(interval, due):
    """Steps count from 1; 0 means never, not even at the end."""
    assert [number for number in range(1, 9) if step_at(number - 1, eval_interval=interval).evaluates] == due
    assert [number for number in range(1, 9) if step_at(number - 1, sample_interval=interval).samples] == due
