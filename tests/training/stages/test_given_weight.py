"""What is said where another run is still writing a weight that this run needs, beside the one that it begins with."""

from types import SimpleNamespace
from unittest import mock

import pytest

from dataset.rendering import ChatRenderer
from model.device import choose_device
from model.disk import exclusive
from model.files.checkpoint import save_weights
from model.reward import RewardModel
from tests.support import random_network
from tests.training.support import SMALL
from training.rewards.loading import load_rewards
from training.stages import groups
from training.stages.actor_critic import open_reward_model
from training.stages.teacher import open_teacher
from training.watch.locks import owner_of


@pytest.fixture
def needed(tmp_path, small_tokenizer):
    """Opens the named network as a run does that needs it."""
    network = random_network(SMALL.replace(vocab_size=small_tokenizer.vocab_size))
    save_weights(tmp_path / "teacher_32.pth", network, small_tokenizer, stage="pretrain")
    save_weights(tmp_path / "reward_32.pth", RewardModel.of(network), small_tokenizer, stage="reward")
    args = SimpleNamespace(out_dir=str(tmp_path), resume=False, max_seq_len=32, group_size=2, teacher_top_k=None)
    args.hidden_size = 64  # that of the network that learns: it says nothing of another one
    args.teacher_weight, args.reward_weight = "teacher", "reward"
    device, renderer = choose_device("cpu", "float32"), ChatRenderer(small_tokenizer)

    def open_needed(what: str) -> None:
        if what == "teacher":
            open_teacher(args, network, small_tokenizer, device.device)
        elif what == "reward model of PPO":
            open_reward_model(args, network, small_tokenizer, device, lambda text: None)
        else:
            rewards = load_rewards([f"model:{tmp_path / 'reward_32.pth'}"], say=lambda text: None)
            with mock.patch.object(groups, "Rollouts"):
                groups.Groups(SimpleNamespace(args=args, plan=None), network, None, renderer, rewards)

    return open_needed


@pytest.mark.parametrize("what", ["teacher", "reward model of PPO", "reward model of GRPO"])
def test_a_weight_that_another_run_is_writing(needed, tmp_path, capsys, what):
    name = "teacher" if what == "teacher" else "reward"
    with exclusive(lock := tmp_path / f".{name}_32.lock", lambda: None):
        if owner_of(lock) is None:
            pytest.skip("this system does not tell who holds a lock")
        needed(what)
    said = capsys.readouterr().err
    path, is_replaced = tmp_path / f"{name}_32.pth", what.partition(" of ")[0]
    assert said.startswith(f"warning: another run is writing {path}, and its next save replaces the {is_replaced} of")
    assert said.count("\n") == 1
    needed(what)
    assert capsys.readouterr().err == ""
