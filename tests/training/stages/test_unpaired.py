"""Single answers that are good or bad: the reference point of a step and of a validation, and their weights."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from training.losses.kto import Answers, kto
from training.stages import unpaired


def test_the_reference_point_is_a_mean_over_all_batches_and_a_signal_is_heard_between_them(monkeypatch):
    polls, batches = [], [torch.tensor([3.0, 4.0]), torch.tensor([5.0, 1.0]), torch.tensor([0.0, 0.0])]
    machine = SimpleNamespace(device=torch.device("cpu"), poll=lambda: polls.append(1))
    monkeypatch.setattr(unpaired, "mixed_ratios", lambda model, batch, *_: batch)
    assert unpaired.point_of(None, batches, machine).item() == pytest.approx(8 / 5) and len(polls) == 3
    assert unpaired.point_of(None, batches[2:], machine).item() == 0


def test_validation_has_one_reference_point_for_all_answers(monkeypatch):
    """Three answers in two batches, whose log-ratios are 1, -2 and 3, and whose mixed ones have a mean of 1/2."""
    batches = [
        (Answers(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0]), torch.tensor([True, False])), [2.0, 3.0]),
        (Answers(torch.tensor([4.0]), torch.tensor([1.0]), torch.tensor([True])), [0.0, 1.0]),
    ]
    monkeypatch.setattr(unpaired, "compare", lambda model, batch, reference: (batch[0], None))
    monkeypatch.setattr(unpaired, "mixed_ratios", lambda model, batch, *_: torch.tensor(batch[1]))
    monkeypatch.setattr(unpaired, "over_held_out", lambda model, rows, size, machine, score: list(map(score, rows)))

    found = unpaired.validate(None, batches, None, 2, lambda answers: kto(answers, 0.1, 2.0, 1.0), beta=0.1)
    ratios, good = torch.tensor([1.0, -2.0, 3.0]), torch.tensor([True, False, True])
    loss = kto(Answers(ratios, torch.zeros(3), good, 0.5), 0.1, 2.0, 1.0).mean().item()
    expected = {"val_loss": loss, "val_kl": 0.5, "val_rewards/chosen": 0.2, "val_rewards/rejected": -0.2}
    assert found.measures == pytest.approx(expected | {"val_rewards/margins": 0.4})
    assert "rewarded by 0.400 more than bad ones, on 3 answers" in found.words
    found = unpaired.validate(None, batches[1:], None, 2, lambda answers: kto(answers, 0.1), beta=0.1)
    assert found.measures.keys() == {"val_loss", "val_kl", "val_rewards/chosen"}  # there is no bad one


def test_weights_balance_the_answers_that_an_epoch_has():
    """Of a file that is passed over twice the answers count twice."""
    counts = {True: np.array([10, 3]), False: np.array([2, 30])}
    rows = SimpleNamespace(passes=np.array([2.0, 1.0]), packed=SimpleNamespace(count=lambda good: counts[good]))
    args, said = SimpleNamespace(desirable_weight=None, undesirable_weight=None), []
    unpaired.choose_weights(args, rows, said.append)
    assert (args.desirable_weight, args.undesirable_weight) == (float(f"{34 / 23:.4g}"), 1.0)
    assert said == ["answers   23 good, 34 bad in an epoch; weights 1.478 and 1 (so that both kinds weigh alike)"]
    args.desirable_weight, args.undesirable_weight = 3.0, None
    unpaired.choose_weights(args, rows, said.append)
    assert (args.desirable_weight, args.undesirable_weight) == (3.0, 1.0) and "outweighs the other" in said[-1]
