"""A NaN or an infinity, in the loss, a gradient or a weight, is noticed before it reaches optimizer, moments or a save.

How a step is skipped and counted, and how float16 halves its scale, is tested number by number in
tests/training/engine/test_update.py; here whole runs of both stages meet such numbers.
"""

import math

import pytest
import torch

from model.files.reading import read_checkpoint
from tests.faults.scripts import python
from tests.stages.workshop import Result, Workshop, same
from training.engine.step import Step
from training.engine.update import Updater

STEPS = 8
RUN = (f"--max_steps={STEPS}", "--epochs=3", "--save_interval=3", "--eval_interval=0", "--val_ratio=0.2")
VALUES = {"NaN": math.nan, "infinity": math.inf, "minus infinity": -math.inf}


@pytest.fixture(scope="module")
def workshops(tmp_path_factory) -> dict[str, Workshop]:
    stages = ("pretrain", "full_sft")
    return {stage: Workshop.create(tmp_path_factory.mktemp(stage), stage) for stage in stages}


@pytest.fixture(autouse=True)
def no_curves(monkeypatch):
    monkeypatch.setattr("training.report.loss_curve.draw_loss_curve", lambda *drawn: None)


def spoil(monkeypatch, where: str, value: float, steps: set[int]) -> list[dict]:
    """Puts a value into the loss, a gradient or a weight of these steps, in their second micro-batch.

    Returns the state of the optimizers and the weights before and after each update, as they come about.
    """
    calls, seen = [], []
    learn, backward, update = Step.learn, Step.backward, Updater.update

    def is_due() -> bool:
        calls.append(None)
        step, second = divmod(len(calls) + 1, 2)
        return bool(second) and step in steps

    def spoil_numbers(step: Step) -> None:
        parameters = step._updaters["model"].parameters
        if where == "gradient":
            parameters[-1].grad.view(-1)[0] = value
        if where == "weight":
            with torch.no_grad():
                parameters[0].view(-1)[3] = value

    def spoilt_learn(self, loss_of, batch, count):
        due = is_due()

        def spoilt_loss(batch):
            found = loss_of(batch)
            return (found[0] * value, *found[1:]) if isinstance(found, tuple) else found * value

        measures = learn(self, spoilt_loss if due and where == "loss" else loss_of, batch, count)
        if due:
            spoil_numbers(self)
        return measures

    def spoilt_backward(self, loss_sum, *counts, **named):
        due = is_due()
        backward(self, loss_sum * value if due and where == "loss" else loss_sum, *counts, **named)
        if due:
            spoil_numbers(self)

    def watched(self, *args):
        before = everything(self)
        try:
            return update(self, *args)
        finally:
            seen.append({"before": before, "after": everything(self)})

    monkeypatch.setattr(Step, "learn", spoilt_learn)
    monkeypatch.setattr(Step, "backward", spoilt_backward)
    monkeypatch.setattr(Updater, "update", watched)
    return seen


def everything(updater: Updater) -> dict:
    """Weights and moments, to be compared to the bit."""
    moments = [
        {index: {name: value.clone() for name, value in values.items()} for index, values in enumerate(state)}
        for state in (list(optimizer.state.values()) for optimizer in updater.optimizers)
    ]
    return {"weights": [parameter.detach().clone() for parameter in updater.parameters], "moments": moments}


def train(workshop: Workshop, out: str, *words: str):
    ended = python(f"train_{workshop.stage}.py", *workshop.command(out, *RUN, *words))
    return ended, workshop.result(out)


def finite(result: Result) -> bool:
    state = read_checkpoint(result.resume_file)
    tensors = [*result.weights.values(), *state["networks"]["model"].values()]
    for optimizer in state["updaters"]["model"]["optimizers"]:
        tensors += [value for values in optimizer["state"].values() for value in values.values()]
    return all(torch.as_tensor(tensor).isfinite().all() for tensor in tensors)


@pytest.mark.parametrize("steps", [{1}, {2, 5}, {4, 5}, {STEPS}], ids=str)
@pytest.mark.parametrize("where, value", [("loss", "NaN"), ("loss", "minus infinity"), ("gradient", "infinity")])
@pytest.mark.parametrize("stage, optimizer", [("pretrain", "muon"), ("full_sft", "adamw")])
def test_the_step_is_skipped_and_nothing_is_touched(
    workshops, monkeypatch, stage, where, value, steps, optimizer, record_property
):
    seen = spoil(monkeypatch, where, VALUES[value], steps)
    ended, result = train(workshops[stage], "skipped", f"--optimizer={optimizer}")
    assert (ended.code, ended.err) == (0, "")
    record_property("values", len(steps))
    for number, (state, line) in enumerate(zip(seen, result.metrics, strict=True), 1):
        assert (line.get("skipped") == "non-finite") == (line["loss"] is None) == (number in steps)
        assert same(state["before"], state["after"]) == (number in steps), number
        assert (f"warning: step {number} skipped, non-finite" in ended.out) == (number in steps)
    last = max(steps)
    assert result.metrics[last - 1]["skipped_steps"] == len(steps)
    assert read_checkpoint(result.resume_file)["updaters"]["model"]["skipped"] == {
        "non-finite": len(steps),
        "overflow": 0,
    }
    assert finite(result)


@pytest.mark.parametrize("stage", ["pretrain", "full_sft"])
@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("first", [1, 5])
def test_three_in_a_row_stop_it_with_the_last_good_weights(
    workshops, monkeypatch, stage, where, first, record_property
):
    seen = spoil(monkeypatch, where, math.nan, {first, first + 1, first + 2})
    ended, result = train(workshops[stage], f"{where}_{first}")
    assert ended.code == 1 and "3 steps in a row" in ended.sentence and ended.err.count("\n") == 1
    assert len(seen) == first + 2 and same(seen[first - 1]["before"], seen[-1]["after"])
    assert result.facts["step"] == first + 1 and finite(result)
    assert f"the weights after step {first + 1} are in {result.weight_file}" in ended.out
    record_property("values", 3)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("interval, said", [(3, "is not finite after step 6, so nothing was saved"), (4, "in a row")])
def test_weights_that_are_not_finite_never_replace_those_that_are(
    workshops, monkeypatch, interval, said, value, record_property
):
    """As by a fault of the machine, in step 5: the losses from then on are spoilt, three skips end it in step 8."""
    workshop, out, every = workshops["pretrain"], f"every_{interval}", f"--save_interval={interval}"
    if value != "NaN":
        every += "0"  # the end comes before the first save
        out += value.replace(" ", "_")
    with monkeypatch.context() as patch:
        spoil(patch, "weight", VALUES[value], {5})
        ended, result = train(workshop, out, every)
    record_property("values", 1)
    assert ended.code == 1 and ended.err.count("\n") == 1
    if value != "NaN":
        assert "begin again with a lower --learning_rate" in ended.out + ended.err
        assert not result.weight_file.exists() and not result.resume_file.exists()
        return
    everything = ended.out + ended.err
    assert said in ended.sentence and "machine is to blame, go on with: " in everything and " --resume" in everything
    assert result.facts["step"] == read_checkpoint(result.resume_file)["step"] == interval and finite(result)
    _, whole = train(workshop, f"whole_{interval}", every)
    ended, _ = train(workshop, out, every, "--resume")
    assert ended.code == 0 and same(result.weights, whole.weights) and result.metrics == whole.metrics


def test_a_learning_rate_that_makes_weights_overflow_is_stopped_before_they_are_saved(workshops, record_property):
    words = ("--learning_rate=3e38", "--optimizer=adamw", "--warmup_steps=0", "--schedule=cosine")
    ended, result = train(workshops["pretrain"], "overflown", *words)
    assert ended.code == 1 and "finite" in ended.sentence
    assert not result.weight_file.exists() or finite(result)
    record_property("values", 1)


@pytest.mark.parametrize("rate", [math.nan, math.inf, -0.5])
def test_a_schedule_of_ones_own_cannot_spoil_the_weights(workshops, rate, monkeypatch, record_property):
    monkeypatch.setattr("training.engine.run.learning_rate_factor", lambda step, *plan: 1.0 if step < 3 else rate)
    code, said = workshops["pretrain"].fails(f"rate {rate}", "--max_steps=6", "--save_interval=6", "--eval_interval=0")
    assert code == 1 and f"schedules.py gives step 4 a learning rate {rate} times that of the plan" in said
    result = workshops["pretrain"].result(f"rate {rate}")
    assert result.facts["step"] == 3 and all(each.isfinite().all() for each in result.weights.values())
    record_property("values", 1)
