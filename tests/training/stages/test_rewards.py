"""The loss that the flags of train_reward.py choose, and what is measured of rewards."""

from types import SimpleNamespace

import pytest
import torch

from training.losses.reward import bt, hinge, mse
from training.stages.rewards import loss_for, measures

FOUND = torch.tensor([[1.0, 2.0, -0.5], [0.0, 3.0, -0.5]])  # chosen, rejected
LABELS = torch.tensor([0.5, 0.0, 1.0])


@pytest.mark.parametrize(
    "asked, kind, name, expected",
    [
        (None, "preference", "bt", bt(*FOUND, LABELS, 0.3)),
        ("hinge", "preference", "hinge", hinge(*FOUND, LABELS, 2.0)),
        (None, "scored", "mse", mse(FOUND[0], LABELS)),
    ],
)
def test_a_loss_has_the_margins_of_the_records_and_the_constants_of_the_flags(asked, kind, name, expected):
    args = SimpleNamespace(loss_type=asked, center=0.3 if kind == "preference" else 0.01, hinge_margin=2.0)
    found, loss = loss_for(args, kind)
    assert found == name
    torch.testing.assert_close(loss(FOUND if kind == "preference" else FOUND[:1], LABELS), expected)


def test_measures_are_sums_over_records_and_equal_rewards_are_no_preference():
    found = {name: value.item() for name, value in measures(FOUND).items()}
    assert found == {"mean_reward": 0.5 + 2.5 - 0.5, "accuracy": 1, "margin": 0}
    assert measures(FOUND[:1]).keys() == {"mean_reward"}
