"""PPO as a user runs it: what it keeps of its answers equals the formulas, and it stops and resumes as it should."""

import json
import weakref
from types import SimpleNamespace
from unittest import mock

import pytest
import torch

from model.files.checkpoint import save_weights
from model.files.loading import load_model
from model.files.reward import Spread, load_reward
from model.reward import RewardModel
from model.text.tokenizer import Tokenizer
from tests.stages.workshop import Workshop, another_reference, same
from tests.support import make_tokenizer, random_network
from train_ppo import LEARNING_RATE
from training.diagnosis.known import read_description
from training.engine.run import Run
from training.losses.ppo import clipped_policy_loss, clipped_value_loss
from training.page.left import what_is_left
from training.report.lines import read_metrics
from training.stages import answer_rows, rollout_plan
from training.stages.actor_critic import ActorCritic, rate_of_critic
from training.stages.rollouts import Rollouts, from_kept
from training.stages.stop_rules import FEWEST, StopRules

ONE = ("--max_steps=1", "--eval_interval=0", "--learning_rate=0.001")
MEAN, DEVIATION = 3.0, 2.0


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ppo")
    Workshop.create(folder, "ppo")
    judge = load_reward(folder / "reward.pth")
    spread = Spread(MEAN, DEVIATION, 100).facts()
    save_weights(folder / "judge.pth", judge.model, judge.tokenizer, stage="reward", facts=spread)
    short = RewardModel.of(load_model(folder / "start.pth").model)
    short.config = short.config.replace(max_position_embeddings=20)
    save_weights(folder / "short.pth", short, judge.tokenizer, stage="reward")
    return Workshop(folder, "ppo")


def kept_of(workshop, out, *words):
    found, sample = [], ActorCritic.sample

    def sampled(self, *args):
        found.append(sample(self, *args))
        return found[-1]

    with mock.patch.object(ActorCritic, "sample", sampled):
        return workshop.train(out, *words), found


def test_values_advantages_and_returns_are_those_of_the_formulas(workshop):
    """Answer by answer, in float64: the critic before each action, the KL at each, the score at the last one, a double
    sum for GAE."""
    words = (f"--reward_weight={workshop.folder}/judge.pth", "--gamma=0.9", "--gae_lambda=0.7", "--critic_warmup=0")
    with another_reference() as copies:
        result, (kept,) = kept_of(workshop, "formula", *ONE, *words, "--kl_coef=0.3", "--temperature=0.7")
    judge = load_reward(workshop.folder / "judge.pth").model.double()
    policy, reference = load_model(workshop.folder / "start.pth").model.double(), copies[0].double()
    advantages, kls, entropies, beside, gamma, lam = [], [], [], [], 0.9, 0.7
    for index, answer in enumerate(from_kept(kept)):
        every = (judge(torch.tensor([answer.ids]))[0].double() - MEAN) / DEVIATION
        where = [i - 1 for i, action in enumerate(answer.actions) if action]
        values, n = every[where], len(where)
        torch.testing.assert_close(kept["values"][index, :n].double(), values.detach(), atol=1e-4, rtol=1e-4)
        score = every[-1].clamp(-10, 10)
        torch.testing.assert_close(kept["scores"][index].double(), score.detach(), atol=1e-4, rtol=1e-4)
        ids = torch.tensor(answer.ids)
        old, ref_log_p = (
            (network(ids[None, :-1])[0] / 0.7).log_softmax(dim=-1)[where, ids[1:][where]].detach()
            for network in (policy, reference)
        )
        torch.testing.assert_close(kept["old"][index, :n].double(), old, atol=1e-4, rtol=1e-4)
        kls.append((old - ref_log_p).sum())
        entropies.append(-old.sum())
        beside.append(-0.3 * kls[-1] - float(not answer.ended))
        rewards = -0.3 * (old - ref_log_p)
        rewards[-1] += score - float(not answer.ended)
        deltas = rewards + gamma * torch.cat([values[1:], values.new_zeros(1)]) - values
        own = torch.stack([sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, n)) for t in range(n)])
        torch.testing.assert_close(kept["returns"][index, :n].double(), (own + values).detach(), atol=1e-4, rtol=1e-4)
        advantages.append(own.detach())
    flat = torch.cat(advantages)
    whitened = torch.cat([kept["advantages"][i, : len(own)] for i, own in enumerate(advantages)]).double()
    torch.testing.assert_close(whitened, (flat - flat.mean()) / flat.std(), atol=1e-4, rtol=1e-4)
    (line,) = result.metrics
    names = "objective/kl objective/entropy objective/scores objective/rlhf_reward objective/non_score_reward"
    names += " policy/approxkl policy/clipfrac policy/entropy loss/policy loss/value loss/ptx val/ratio val/ratio_first"
    assert set(names.split()) <= line.keys() and abs(line["max_ratio_first"] - 1) < 1e-5
    means = {"kl": kls, "entropy": entropies, "non_score_reward": beside}
    expected = {f"objective/{name}": torch.stack(each).mean().item() for name, each in means.items()}
    expected["objective/rlhf_reward"] = expected["objective/non_score_reward"] + kept["scores"].mean().item()
    assert abs(expected["objective/kl"]) > 0.01
    assert {name: line[name] for name in expected} == pytest.approx(expected, abs=1e-3)
    returns = torch.cat([kept["returns"][i, : len(own)] for i, own in enumerate(advantages)]).double()
    explained = 1 - flat.var() / returns.var()  # an advantage is R - V
    assert line["critic/explained_variance"] == pytest.approx(explained.item(), abs=1e-4)


def test_policy_and_critic_are_clipped_each_by_its_own_flag(workshop):
    limits = []

    def noted(honest, first):
        return lambda *words: limits.append(words[first:]) or honest(*words)

    with (
        mock.patch("training.losses.ppo.clipped_policy_loss", noted(clipped_policy_loss, 4)),
        mock.patch("training.losses.ppo.clipped_value_loss", noted(clipped_value_loss, 4)),
    ):
        workshop.train("clipped", *ONE, "--critic_warmup=0", "--clip=0.3", "--clip_value=0.4")
    assert set(limits) == {(0.3, 0.3), (0.4,)}


def test_what_is_watched_is_measured_and_changes_nothing(workshop):
    rule = workshop.folder / "rule.py"
    rule.write_text("def brief(completion_ids, **columns):\n    return [len(ids) / 100 for ids in completion_ids]\n")
    words = ("--val_ratio=0.5", "--eval_interval=1", "--sample_interval=1")
    watching, (kept,) = kept_of(workshop, "watching", *ONE, *words, f"--watch={rule}:brief")
    (line,) = [line for line in watching.metrics if "loss" in line]
    assert kept["rewards"][:, 1].tolist() == [sum(one.actions) / 100 for one in from_kept(kept)]
    assert line["rewards/brief/mean"] == pytest.approx(kept["rewards"][:, 1].mean().item())
    assert line["reward"] == pytest.approx(kept["scores"].mean().item(), rel=1e-6)
    assert any("val_reward/brief" in line for line in watching.metrics) and "brief 0." in watching.said
    assert same(watching.weights, workshop.train("plain", *ONE, *words).weights)


@pytest.mark.parametrize("words, validations, each", [(("--eval_interval=2",), 3, 4), ((), 1, 2)])
def test_validation_answers_prompts_of_every_file_and_no_more_than_the_run_can_afford(
    workshop, words, validations, each
):
    """At most as many as are answered at once; where nothing is asked for, an answer for every twelve of the run."""
    names = [f"{name}.jsonl" for name in "pq"]
    for name in names:
        lines = [json.dumps({"prompt": f"{name[0]}{number}"}) + "\n" for number in range(4)]
        (workshop.folder / name).write_text("".join(lines))
    answered, honest = [], Rollouts.greedy

    def greedy(self, prompts):
        answered.append([prompt.messages[-1]["content"][0] for prompt in prompts])
        return honest(self, prompts)

    files = ("--val_path", *(workshop.folder / name for name in names))
    with mock.patch.object(Rollouts, "greedy", greedy), mock.patch.object(rollout_plan, "MOST_HELD_OUT", 4):
        result = workshop.train("held_out", "--max_steps=6", "--epochs=2", *words, *files)  # of 4 answers
    assert answered == [["p"] * (each // 2) + ["q"] * (each // 2)] * validations
    assert f"validation answers {each} of 8 held-out prompts\n" in result.said


def test_while_the_critic_warms_up_the_policy_stays_as_it_is(workshop):
    words = ("--max_steps=3", "--eval_interval=0", "--critic_warmup=3", "--weight_decay=0.1", "--save_interval=1")
    result = workshop.train("warm", *words)
    start = load_model(workshop.folder / "start.pth").model.state_dict()
    assert all(torch.equal(tensor, start[name]) for name, tensor in result.weights.items())
    assert all(line["loss"] is None and line["critic/loss"] > 0 for line in result.metrics)
    speeds = [line["time/tokens_per_second"] for line in read_metrics(result.logs / "metrics.jsonl")]
    assert all(speed > 0 for speed in speeds) and " 0 tokens/s" not in result.said
    assert "the first 3 steps teach the critic alone, so in 3 the network itself learns nothing" in result.said
    last = workshop.train("warm then learns", *words, "--critic_warmup=2")
    assert any(not torch.equal(tensor, start[name]) for name, tensor in last.weights.items())
    assert "learns nothing" not in last.said


def test_policy_and_critic_never_keep_activations_at_the_same_time(workshop, monkeypatch):
    """The plan counts those of one network. The first step teaches the critic alone."""
    alive, found = weakref.WeakSet(), []

    class Kept:
        def __init__(self, tensor):
            self.tensor = tensor.detach()  # the result of an operation holds the graph, which holds this
            alive.add(self)

    for owner, name in ((ActorCritic, "values"), (answer_rows, "action_log_probabilities")):
        honest = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *words, honest=honest: found.append(len(alive)) or honest(*words))
    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        workshop.train("alone", "--max_steps=2", "--critic_warmup=1", "--eval_interval=0")
    assert len(found) > 8 and not any(found)


@pytest.mark.parametrize(
    "words, expected",
    [
        ((), {"model": 1.0, "critic": 2.0}),
        (("--learning_rate=0.01",), {"model": 200.0, "critic": 400.0}),
        (("--lora",), {"model": 15.0, "critic": 2.0}),
        (("--lora", "--learning_rate=0.01", "--critic_rate=3"), {"model": 200.0, "critic": 3.0}),
    ],
)
def test_the_critic_learns_at_the_rate_of_a_whole_network(workshop, words, expected):
    """Rates over 0.00005, the default from a weight of Sprout, where a step has 4096 tokens."""
    found, begin = {}, Run.begin

    def begun(run, *args, **settings):
        begin(run, *args, **settings)
        groups = {name: updater.optimizers[0].param_groups for name, updater in run.updaters.items()}
        found.update({name: group["peak_lr"] / 5e-5 for name, (group, *_) in groups.items()})

    with mock.patch.object(Run, "begin", begun), mock.patch("training.engine.plan.BASE_TOKENS", 1):
        workshop.train(f"rates_{len(words)}{'--lora' in words}", "--max_steps=1", "--eval_interval=0", *words)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("lora", [False, True])
def test_with_an_added_optimizer_the_critic_follows_the_rate_that_is_given(lora):
    args = SimpleNamespace(optimizer="lion", lora=lora, critic_rate=3.0)
    plan = SimpleNamespace(learning_rate=0.5, tokens_per_step=4096, begins_with="full_sft", imported=False)
    assert rate_of_critic(args, plan, LEARNING_RATE) == 1.5


def test_a_step_that_is_ended_twice_moves_the_weight_of_the_kl_once(workshop):
    ppo = ActorCritic.__new__(ActorCritic)
    ppo.args, ppo.state = SimpleNamespace(kl_target=1.0), SimpleNamespace(remembered={})
    for _ in range(2):
        ppo.adapt_kl_coef(SimpleNamespace(metrics={"objective/kl": 5.0}), {"kl_coef": 0.1})
    assert ppo.state.remembered["kl_coef"] == pytest.approx(0.1 * 1.02)


def test_a_run_that_breaks_a_rule_stops_with_a_sentence_and_stops_again_when_resumed(workshop):
    words = ("--epochs=3", "--eval_interval=0", "--stop_cut=0.01")
    result = workshop.train("stopped", *words)
    assert len(result.metrics) == FEWEST and "reach --max_new_tokens" in result.said and "--stop_cut" in result.said
    again = workshop.train("stopped", *words, "--resume")
    assert again.metrics == result.metrics and same(again.weights, result.weights)
    assert "--stop_cut" in read_description(again.logs).stopped and what_is_left(again.logs / "metrics.jsonl").said


def test_each_rule_has_its_sentence():
    said, remembered = [], {}
    run = SimpleNamespace(
        args=SimpleNamespace(stop_kl=10, stop_entropy=0.3, stop_cut=0.5),
        state=SimpleNamespace(remembered=remembered, updates=[]),
    )
    rules, step = StopRules(run), SimpleNamespace(index=FEWEST)
    good = {"objective/kl": 1.0, "entropy": 2.0, "completions/clipped_ratio": 0.0}
    assert not rules.end_before(step)
    with mock.patch("training.engine.early_end.stop_here", lambda run, why: said.append(why)):
        for change in ({}, {"objective/kl": 11.0}, {"entropy": 0.5}, {"completions/clipped_ratio": 0.6}):
            rules.note(SimpleNamespace(metrics=good | change))
            assert rules.end_before(step) == bool(change)
        # A signal in its validation: the step is completed when the run goes on, and only the next one is not made.
        run.state.updates = [{}]
        assert not rules.end_before(step)
    assert [flag in why for flag, why in zip(("--stop_kl", "--stop_entropy", "--stop_cut"), said, strict=True)] == [
        1
    ] * 3


def test_a_reward_model_may_end_its_texts_otherwise_but_must_have_the_same_ids(workshop):
    """One that was made of a base model, say, where the policy is made of its instruct model."""
    judge = load_reward(workshop.folder / "judge.pth")
    config = json.dumps(judge.tokenizer.config | {"bos_token": None, "eos_token": "<|endoftext|>"})
    of_base = Tokenizer.from_files(judge.tokenizer.files | {"tokenizer_config.json": config})
    assert of_base.fingerprint != judge.tokenizer.fingerprint
    save_weights(workshop.folder / "of_base.pth", judge.model, of_base, stage="reward")
    workshop.train("of_base", *ONE, f"--reward_weight={workshop.folder}/of_base.pth")
    foreign = make_tokenizer(("ab",))
    network = random_network(judge.model.config.replace(vocab_size=foreign.vocab_size))
    save_weights(workshop.folder / "foreign.pth", RewardModel.of(network), foreign, stage="reward")
    code, message = workshop.fails("foreign", *ONE, f"--reward_weight={workshop.folder}/foreign.pth")
    assert code == 1 and "foreign.pth has another tokenizer than the policy" in message


@pytest.mark.parametrize(
    "words, said",
    [
        (("--reward_weight={folder}/start.pth",), "not a reward model"),
        (("--reward_weight={folder}/short.pth",), "reads at most 20 tokens"),
        (("--kl_target=3", "--kl_coef=0"), "would stay 0"),
        (("--ptx_weight=0",), "is for --ptx_weight"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(workshop, words, said):
    code, message = workshop.fails("wrong", *ONE, *(word.format(folder=workshop.folder) for word in words))
    assert code in (1, 2) and message.count("\n") == 1 and said in message, message
