"""Validation says of how many records its means are, also where rows of them were left out."""

from types import SimpleNamespace

import pytest
import torch

from training.stages import held_out, preferences, rewards


class Rows:
    """Two pairs are scored; before rows were left out there were nine."""

    documents = 9

    def batches(self, batch_size, rank, world_size):
        return [SimpleNamespace(records=2, labels=torch.zeros(2))]


MACHINE = SimpleNamespace(poll=lambda: None, move=lambda batch: batch, inference=torch.no_grad)


def test_pairs_are_counted_that_were_compared(monkeypatch):
    model, scores = torch.nn.Linear(1, 1), torch.tensor([1.0, 1.0, 0.0, 2.0])
    found = preferences.Completions(*scores.view(2, -1), *torch.ones(2, 2), None, None)
    monkeypatch.setattr(preferences, "compare", lambda *_: (found, None))
    result = preferences.validate(model, Rows(), MACHINE, 2, lambda pair: pair.chosen, beta=0.1)
    assert "preferred in 1 of 2 pairs" in result.words
    monkeypatch.setattr(rewards, "judge", lambda *_: scores.view(2, -1))
    result = rewards.validate_rewards(model, Rows(), MACHINE, 2, lambda found, labels: found[0])
    assert "preferred in 1 of 2 pairs" in result.words


@pytest.mark.parametrize("fails", [False, True])
def test_held_out_records_are_scored_without_dropout_and_gradients_and_training_goes_on_with_both(fails):
    model, seen = torch.nn.Linear(1, 1).train(), []

    def score(batch):
        seen.append((model.training, torch.is_grad_enabled()))
        if fails:
            raise KeyboardInterrupt

    try:
        held_out.over_held_out(model, Rows(), 2, MACHINE, score)
    except KeyboardInterrupt:
        assert fails
    assert seen == [(False, False)] and model.training and torch.is_grad_enabled()
