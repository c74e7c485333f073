"""What a run of GRPO tells its user, and how often."""

from unittest import mock

import pytest

from training.stages.actor_critic import ActorCritic
from training.stages.advice import Advice, faults_in
from training.stages.arguments import StageParser
from training.stages.rl_arguments import add_ppo_arguments, add_rollout_arguments

FLAGS = {"max_new_tokens": 9, "dynamic_sampling": 0, "mask_truncated": False, "tools": None}
LIMITS = {"clip_low": None, "clip_high": 0.28, "dual_clip": 3.0, "inner_epochs": 1, "mini_batches": 2}


class Said:
    def __init__(self):
        self.args, self.lines = mock.Mock(**FLAGS, **LIMITS), []

    def say(self, line):
        self.lines.append(line)


def test_advice_is_given_after_five_steps_in_a_row_and_once():
    run = Said()
    advice = Advice(run, ["mine"])
    equal = {"frac_reward_zero_std": 1.0, "completions/clipped_ratio": 0.2, "rewards/mine/mean": 0.0}
    for metrics in (*[equal] * 4, equal | {"frac_reward_zero_std": 0.1}, *[equal] * 12):
        advice.after(mock.Mock(metrics=metrics))
    assert len(run.lines) == 1 and "--dynamic_sampling" in run.lines[0]
    for _ in range(5):
        advice.after(mock.Mock(metrics={"completions/clipped_ratio": 0.9}))
    assert len(run.lines) == 3 and "mine has rated no answer" in run.lines[1] and "--max_new_tokens 9" in run.lines[2]


def test_limits_of_ratios_that_are_all_1_are_said_to_change_nothing():
    run = Said()
    Advice(run, [])
    assert not run.lines
    run.args.mini_batches = 1
    Advice(run, [])
    assert len(run.lines) == 1 and "so --clip_high or --dual_clip changes nothing: give --mini_batches" in run.lines[0]


@pytest.mark.parametrize(
    "words, says", [("--clip 0.1", False), ("--mini_batches 1", False), ("--mini_batches 1 --clip_value 0.3", True)]
)
def test_limits_of_ppo_are_said_to_change_nothing_too(words, says, monkeypatch):
    monkeypatch.setattr("training.stages.actor_critic.Rollouts", mock.Mock())
    parser, run = StageParser(""), mock.Mock()
    add_rollout_arguments(parser, mini_batches=4)
    add_ppo_arguments(parser)
    run.args = parser.parse_args(words.split())
    ActorCritic(run, None, None, None, mock.Mock(spread=None), mock.Mock())
    assert ["so --clip_value changes nothing" in call.args[0] for call in run.say.call_args_list] == [True] * says


def test_advice_names_no_flag_that_is_given_already_and_every_limit_that_cuts():
    metrics = {"frac_reward_zero_std": 1.0, "completions/clipped_ratio": 0.9}
    equal, cut = (faults_in(metrics, mock.Mock(**FLAGS), [])[fault] for fault in ("equal", "cut"))
    assert equal.endswith("a finer reward, a larger --group_size or --dynamic_sampling 2")
    assert "reached --max_new_tokens 9 without" in cut
    assert cut.endswith(": raise it, add --reward overlong or add --mask_truncated")
    given = FLAGS | {"dynamic_sampling": 1, "mask_truncated": True, "tools": ["a"], "max_turns": 2, "max_seq_len": 64}
    found = faults_in(metrics | {"rewards/overlong/mean": 0.0}, mock.Mock(**given), ["overlong"])
    assert found["equal"].endswith("a finer reward or a larger --group_size")
    assert "reached --max_new_tokens 9, --max_turns 2 or --max_seq_len 64 without an end: raise it" in found["cut"]
    assert "overlong" not in found["cut"] and "--mask_truncated" not in found["cut"]
