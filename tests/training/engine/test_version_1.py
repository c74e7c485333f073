"""A state of version 1 is compared flag by flag, as one of today."""

import pytest

from training.engine.version_1 import described_as_now

SETTINGS = "Settings(beta=0.1, label_smoothing=0.0, gamma=0.5, odds_weight=1.0)"
DIVERGENCE = "Divergence(loss_type='forward_kl', temperature=2.0, jsd_beta=0.5)"
PREFERENCE = {"loss_type": "sigmoid", "beta": 0.1, "label_smoothing": 0.0, "gamma": 0.5, "odds_weight": 1.0}
VERSION_1 = {  # what `data` of a state of version 1 says, and the flags that a run has today
    "dpo": ({"data.loss": f"sigmoid, {SETTINGS}, sft_weight 0"}, PREFERENCE | {"sft_weight": 0.0}),
    "distill": (
        {"data.loss": f"{DIVERGENCE}, alpha 0.5", "data.on_policy": "0.5, 64 tokens"},
        {"loss_type": "forward_kl", "temperature": 2.0, "jsd_beta": 0.5, "alpha": 0.5}
        | {"on_policy": 0.5, "max_new_tokens": 64},
    ),
    "distill without sampling": (
        {"data.loss": f"{DIVERGENCE}, alpha 0.5", "data.on_policy": "no"},
        {"loss_type": "forward_kl", "temperature": 2.0, "jsd_beta": 0.5, "alpha": 0.5, "on_policy": 0.0},
    ),
    "reward": (
        {"data.loss": "bt, center 0.0123457, hinge_margin 1"},
        {"loss_type": "bt", "center": 0.012345678, "hinge_margin": 1.0},
    ),
    "reason": ({"data.loss": "tag_weight 2"}, {"tag_weight": 2.0}),
    "another": ({}, {"seed": 1}),
}
CHANGED = [(stage, flag) for stage, (_, flags) in VERSION_1.items() for flag in flags if flag != "seed"]


@pytest.mark.parametrize("stage", VERSION_1)
def test_a_state_of_version_1_of_the_same_run_differs_in_nothing(stage):
    before, now = VERSION_1[stage]
    assert described_as_now(before | {"data.training": "a"}, now | {"data.training": "a"}) == now | {
        "data.training": "a"
    }


@pytest.mark.parametrize("stage, flag", CHANGED)
def test_every_flag_of_a_loss_is_compared_with_a_state_of_version_1(stage, flag):
    before, now = VERSION_1[stage]
    another = "another" if isinstance(now[flag], str) else now[flag] + 1
    found, now = described_as_now(before, now | {flag: another}), now | {flag: another}
    assert [name for name in found | now if found.get(name) != now.get(name)] == [flag]


def test_a_loss_of_version_1_that_is_not_understood_is_a_difference():
    assert described_as_now({"data.loss": "something"}, {"beta": 0.1}) == {
        "data.loss": "something",
        "beta": 0.1,
    }
