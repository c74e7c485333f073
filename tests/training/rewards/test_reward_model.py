"""A reward model as a reward: the rewards of scripts/score.py, normalised; from tokens or from messages."""

import json

import pytest
import torch

from dataset.records.conversations import Conversation
from dataset.rendering import ChatRenderer
from model.config import TransformerConfig
from model.files.adapters import save_lora
from model.files.checkpoint import save_weights
from model.files.reward import Spread
from model.fingerprint import fingerprint
from model.lora import Lora, add_lora
from model.reward import RewardModel
from scripts import score
from tests.stages.table import SHAPE
from tests.support import make_tokenizer, random_network
from training.rewards.loading import load_rewards, rate

SPREAD = Spread(0.25, 2.0, 512)
PROMPTS, ANSWERS = ["abc", "xy"], ["abc", "no"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, tokenizer = tmp_path_factory.mktemp("models"), make_tokenizer()
    network = random_network(TransformerConfig(vocab_size=tokenizer.vocab_size, max_position_embeddings=48, **SHAPE))
    save_weights(folder / "start.pth", network, tokenizer, stage="full_sft")
    model = RewardModel.of(network)
    torch.nn.init.normal_(model.score.weight, generator=torch.Generator().manual_seed(1))
    save_weights(folder / "old.pth", model, tokenizer, stage="reward")
    save_weights(folder / "reward.pth", model, tokenizer, stage="reward", facts=SPREAD.facts())
    add_lora(network, Lora(2, 4.0, base=fingerprint(network), base_path=str(folder / "start.pth")))
    adapted = RewardModel.of(network)
    adapted.score.weight.data.copy_(model.score.weight)
    save_lora(folder / "adapters.pth", adapted, stage="reward", facts=SPREAD.facts())
    return folder


def by_score(folder, capsys) -> list[float]:
    words = ["--weight_path", str(folder / "reward.pth"), "--device", "cpu", "--dtype", "float32", "--json"]
    found = []
    for prompt, answer in zip(PROMPTS, ANSWERS, strict=True):
        score.main([*words, "--prompt", prompt, "--answer", answer])
        found.append(json.loads(capsys.readouterr().out)["reward"])
    return found


def test_it_is_the_normalised_reward_of_score(folder, capsys):
    raw, said = by_score(folder, capsys), []
    messages = [
        [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)
    ]
    tokenizer = make_tokenizer()
    renderer = ChatRenderer(tokenizer)
    prompt_ids = [list(renderer.prompt(each[:-1], ())) for each in messages]
    whole = [one.ids.tolist() for one in renderer.render([Conversation(tuple(each)) for each in messages])]
    ends = [ids.index(renderer.end_id, len(prompt)) + 1 for ids, prompt in zip(whole, prompt_ids)]
    completion_ids = [ids[len(prompt) : end] for ids, prompt, end in zip(whole, prompt_ids, ends)]
    ids = {"prompt_ids": prompt_ids, "completion_ids": completion_ids}
    wanted = torch.tensor([SPREAD.normalised(reward) for reward in raw], dtype=torch.float64)
    for name in ("reward", "adapters"):
        for policy, columns in ((None, {}), (None, {"messages": messages}), (tokenizer, ids)):
            rewards = load_rewards([f"model:{folder}/{name}.pth:0.5"], tokenizer=policy, say=said.append)
            assert rewards[0].name == "model" and rewards[0].weight == 0.5
            found = rate(rewards, PROMPTS, ANSWERS, columns)[:, 0]
            torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert "divided by 2, from +0.25 on" in said[0]
    assert rate(rewards, PROMPTS, ANSWERS, {"prompt_ids": [[1] * 40, [1] * 4], "completion_ids": [[1] * 9] * 2})[
        0
    ].isnan()


def test_ids_of_a_policy_with_another_tokenizer_are_not_read(folder, capsys):
    """They are other tokens to the model: it reads the messages."""
    messages = [
        [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)
    ]
    columns = {"messages": messages, "prompt_ids": [[5], [6]], "completion_ids": [[7], [8]]}
    rewards = load_rewards([f"model:{folder}/old.pth"], tokenizer=make_tokenizer(("ab",)), say=lambda text: None)
    wanted = torch.tensor(by_score(folder, capsys), dtype=torch.float64)
    torch.testing.assert_close(rate(rewards, PROMPTS, ANSWERS, columns)[:, 0], wanted, atol=1e-4, rtol=1e-4)


def test_another_head_is_another_reward(folder):
    (reward,) = load_rewards([f"model:{folder}/reward.pth"], say=lambda text: None)
    before = reward.function.identity
    with torch.no_grad():
        reward.function.loaded.model.score.weight.mul_(2)
    assert reward.function.identity != before


def test_an_older_weight_without_mean_and_deviation_says_so(folder, capsys):
    said = []
    rewards = load_rewards([f"model:{folder}/old.pth"], say=said.append)
    assert "does not store mean and deviation" in said[0]
    found = rate(rewards, PROMPTS, ANSWERS, {})[:, 0]
    torch.testing.assert_close(found, torch.tensor(by_score(folder, capsys), dtype=torch.float64), atol=1e-4, rtol=1e-4)
