"""What is measured of rollouts, number by number."""

import random
import statistics
from types import SimpleNamespace

import pytest
import torch

from tests.support import make_tokenizer
from training.stages.answer_rows import Answer
from training.stages.rollout_report import distinct_share, judged, measure, measure_policy, shown, table
from training.stages.rollouts import to_keep

NAN = float("nan")
# Two groups of two answers, of 3, 1, 4 and 2 tokens behind prompts of 2; three have an end, and two called tools.
ANSWERS = [
    Answer([5, 6, 7, 8, 2], [False, False, True, True, True], True, 2, calls=4, failed=1),
    Answer([5, 6, 7], [False, False, True], False, 2),
    Answer([9, 9, 30, 31, 7, 2], [False, False, True, False, True, True], True, 4, calls=1, failed=0),
    Answer([9, 9, 4, 4], [False, False, True, True], True, 2),
]
REWARDS = torch.tensor([[1.0, NAN], [0.0, 3.0], [0.5, NAN], [0.5, 5.0]], dtype=torch.float64)
TOTAL = torch.tensor([1.0, 2.0, NAN, 0.5], dtype=torch.float64)


def kept() -> dict:
    prompts = [SimpleNamespace(messages=({"role": "user", "content": f"q{i // 2}"},)) for i in range(4)]
    found = to_keep(prompts, ANSWERS, make_tokenizer())
    return found | {"rewards": REWARDS, "total": TOTAL, "spread": torch.tensor([True, True])}


class Noted:
    """A step that keeps the means of what is measured."""

    def __init__(self):
        self.means, self.ranges = {}, {}

    def measure(self, count, **sums):
        self.means |= {name: float(value / count) for name, value in sums.items()}

    def measure_range(self, **values):
        self.ranges |= {name: (float(each.min()), float(each.max())) for name, each in values.items()}


def test_lengths_ends_calls_and_rewards():
    step = Noted()
    measure(step, kept(), ["one", "other"])
    assert step.means == pytest.approx(
        {
            "completions/mean_length": 2.5,
            "completions/min_length": 1,
            "completions/max_length": 4,
            "completions/clipped_ratio": 0.25,
            "completions/mean_terminated_length": 3.0,
            "distinct": 1.0,  # of the first answers to both prompts
            "tools/calls": 1.25,
            "tools/failed": 0.2,  # of the calls
            "rewards/one/mean": 0.5,
            "rewards/one/std": statistics.stdev([1, 0, 0.5, 0.5]),
            "rewards/other/mean": 4.0,
            "rewards/other/std": statistics.stdev([3, 5]),
            "reward": 3.5 / 3,
            "reward_std": (statistics.stdev([1, 2]) + 0) / 2,  # of the answers to a prompt, then over prompts
            "frac_reward_zero_std": 0.0,
        }
    )


def test_answers_are_distinct_among_prompts_and_not_among_those_to_one():
    """However large a group is, one answer each to two prompts is distinct; without groups every answer counts."""
    answers = kept() | {"texts": ["a", "b", "c", "b"]}
    one_each, all_of_them = Noted(), Noted()
    measure(one_each, answers, ["one", "other"])
    measure(all_of_them, {name: value for name, value in answers.items() if name != "spread"}, ["one", "other"])
    assert (one_each.means["distinct"], all_of_them.means["distinct"]) == (1.0, 0.75)


def test_distinct_answers_are_those_that_equal_no_earlier_one():
    rng = random.Random(0)
    for _ in range(200):
        texts = [rng.choice(["", "a", "b", "ab", "a b"]) for _ in range(rng.randint(1, 9))]
        new = [all(text != earlier for earlier in texts[:i]) for i, text in enumerate(texts)]
        assert distinct_share(texts) == sum(new) / len(texts)


def test_the_first_ratio_is_noted_in_the_first_update_alone():
    batch = SimpleNamespace(actions=3, mask=torch.tensor([[True, True], [True, False]]))
    log_p, old = torch.tensor([[0.0, -1.0], [-2.0, 0.0]]), torch.tensor([[0.0, -1.0], [-1.0, 7.0]])
    found = SimpleNamespace(measures={"kl": (torch.tensor(6.0), torch.tensor(3))}, ranges={})
    for update, names in ((0, {"kl", "entropy", "val/ratio_first"}), (1, {"kl", "entropy"})):
        step = Noted()
        measure_policy(step, update, batch, found, log_p, old, torch.tensor([[1.0, 2.0], [3.0, 0.0]]))
        assert step.means.keys() == names and (step.means["kl"], step.means["entropy"]) == (2.0, 2.0)
        if update == 0:
            last = torch.tensor(-1.0).exp().item()
            assert step.means["val/ratio_first"] == pytest.approx((2 + last) / 3)
            assert step.ranges == {"ratio_first": pytest.approx((last, 1.0))}


def test_held_out_answers_are_judged_by_their_means():
    found = judged(ANSWERS, ["one", "other"], REWARDS, TOTAL)
    assert found.measures == pytest.approx(
        {"val_reward/one": 0.5, "val_reward/other": 4.0, "val_reward": 3.5 / 3, "val_length": 2.5, "val_ended": 0.75}
    )
    assert found.words == "4 held-out prompts: one 0.500, other 4.000; 2 tokens an answer, 75% ended"


def test_the_table_has_each_answer_with_its_own_numbers():
    rows = table(kept(), ["one", "other"], TOTAL, 3)
    assert [(row["prompt"], row["reward"], row["tokens"], row["ended"]) for row in rows] == [
        ("q0", 1.0, 3, True),
        ("q0", 2.0, 1, False),
        ("q1", None, 4, True),
    ]
    assert [row["rewards"] for row in rows][:2] == [{"one": 1.0, "other": None}, {"one": 0.0, "other": 3.0}]


def test_the_best_and_the_worst_answer_to_a_prompt_are_shown():
    rewards = {"low": -1.0, "best": 2.0, "unrated": None, "middle": 0.5}
    samples = [
        {"prompt": "q", "answer": a, "reward": r, "rewards": {"one": r}, "ended": True} for a, r in rewards.items()
    ]
    assert shown(samples).splitlines() == ["  q", "    [one 2] best", "    [one -1] low"]
