"""Groups of answers: which prompts take the place of those that teach nothing, and whom an answer is compared with."""

from types import SimpleNamespace

import pytest
import torch

from training.losses.advantages import group_advantages
from training.stages import groups
from training.stages.groups import Groups

# Prompts of a step in each order, by epoch; a run has two epochs, so the orders beyond belong to no step of it.
PROMPTS = {0: "abc", 2: "def", 4: "ghi", 6: "jkl"}
# Rewards of the two answers to each; those of b, c and f are equal.
REWARDS = {"a": [0, 1], "b": [1, 1], "c": [0, 0], "e": [0, 2], "f": [3, 3], "i": [4, 0]}


class Sampler:
    """Answers to prompts, which are known by their prompt, its place in the group, and the key of the draw."""

    def __init__(self):
        self.keys = []

    def prompts_of(self, step, rows, epoch):
        return list(PROMPTS[epoch])

    def answers_to(self, prompts, key):
        self.keys.append((key, "".join(prompts)))
        return [f"{prompt}{place % 2}" for place, prompt in enumerate(prompts)]


@pytest.fixture
def make(monkeypatch):
    def rewards_of(rewards, prompts, answers, *_):
        return torch.tensor([[float(REWARDS[answer[0]][int(answer[1])])] for answer in answers], dtype=torch.float64)

    monkeypatch.setattr(groups, "rewards_of", rewards_of)

    def made(**flags) -> Groups:
        found = Groups.__new__(Groups)
        usual = {"group_size": 2, "dynamic_sampling": 0, "scale_rewards": "group", "inner_epochs": 1, "mini_batches": 1}
        found.args, found.plan = SimpleNamespace(**usual | flags), SimpleNamespace(epochs=2)
        found.rewards, found.rollouts = [SimpleNamespace(weight=0.5)], Sampler()
        found.tokenizer = found.columns = found.reference = None
        return found

    return made


STEP = SimpleNamespace(number=7, epoch=0)


@pytest.mark.parametrize(
    "times, prompts, draws",
    [
        (0, "aabbcc", [((7, 0), "aabbcc")]),
        (1, "aaeeff", [((7, 0), "aabbcc"), ((7, 1), "eeff")]),
        (2, "aaeeii", [((7, 0), "aabbcc"), ((7, 1), "eeff"), ((7, 2), "ii")]),
        (3, "aaeeii", [((7, 0), "aabbcc"), ((7, 1), "eeff"), ((7, 2), "ii")]),  # all have a spread by then
    ],
)
def test_prompts_of_equal_rewards_give_place_to_others_as_often_as_asked(make, times, prompts, draws):
    found = make(dynamic_sampling=times)
    every, answers, rewards = found._with_spread(STEP, None)
    assert "".join(every) == prompts and answers == [f"{prompt}{i % 2}" for i, prompt in enumerate(prompts)]
    assert rewards[:, 0].tolist() == [REWARDS[prompt][i % 2] for i, prompt in enumerate(prompts)]
    assert found.rollouts.keys == draws


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_a_process_has_the_advantages_of_its_own_answers_among_those_of_all(make, monkeypatch, scale):
    own, other = torch.tensor([1.0, 3.0, 2.0, 2.0]), torch.tensor([0.0, 8.0])
    monkeypatch.setattr(groups.distributed, "gathered", lambda value: [other, value])
    monkeypatch.setattr(groups.distributed, "rank", lambda: 1)
    expected, spread = group_advantages(torch.cat([other, own]), torch.arange(6) // 2, scale)
    found = make(scale_rewards=scale)._advantages(own)
    assert torch.equal(found[0], expected[2:]) and found[1].tolist() == spread[1:].tolist() == [True, False]


@pytest.mark.parametrize("inner_epochs, mini_batches, keeps", [(1, 1, False), (2, 1, True), (1, 2, True)])
def test_the_first_policy_is_kept_where_later_updates_compare_with_it(
    make, monkeypatch, inner_epochs, mini_batches, keeps
):
    """And the reference, if there is one, is that network and not the policy."""
    monkeypatch.setattr(groups, "to_keep", lambda *_: {})
    found = make(inner_epochs=inner_epochs, mini_batches=mini_batches)
    found.policy, found.rollouts.log_probabilities = "policy", lambda network, answers, kept: network
    kept = found._sample(STEP, None)
    assert (kept["old"], kept["reference"]) == ("policy" if keeps else None, None)
    assert kept["total"].tolist() == [0.0, 0.5, 0.5, 0.5, 0.0, 0.0]  # by the weight of the reward
    found.reference = "reference"
    assert found._sample(STEP, None)["reference"] == "reference"
