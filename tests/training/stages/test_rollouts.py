"""Answers in packed rows are scored as they are alone, and only their actions are learned from."""

import copy
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dataset.rows.prompts import PROMPTS
from model.attention import KVCache
from model.config import TransformerConfig
from model.device import Device
from model.errors import UsageError
from model.generation import new_generator
from tests.stages.table import SHAPE
from tests.support import make_tokenizer, random_network
from train_grpo import parse_arguments
from training.engine.fitting import ROOM
from training.engine.memory import Footprint, footprint_of
from training.engine.state import RunState
from training.losses.policy import LOSSES, Settings, policy_loss
from training.stages import rollouts
from training.stages.answer_rows import Answer, action_log_probabilities, answer_batches
from training.stages.changes import freeze_layers
from training.stages.groups import settings_of
from training.stages.rollout_plan import plan_of_rollouts
from training.stages.rollouts import Rollouts, from_kept, sample_answers, to_keep
from training.stages.sampling_memory import bytes_of_an_answer, cache_of_an_answer
from training.stages.starting_point import Origin

ROW, T = 24, 0.7
# Prompt, then tokens of the policy (True) and of the environment (False).
ANSWERS = [
    Answer([5, 6, 7, 8, 9, 2], [False, False, False, True, True, True], True, 3),
    Answer([5, 9, 4, 2, 30, 31, 7, 8], [False, True, True, True, False, False, True, True], False, 6, 1),
    Answer([9, 9, 9, 9, 9, 9, 9, 9, 3], [False] * 8 + [True], False, 8),
    Answer([12, 4, 4, 4, 4, 4, 2], [False, True, True, True, True, True, True], True, 1),
]


class Machine:
    """As much of `training.engine.machine.Machine` as sampling needs."""

    def poll(self) -> bool:
        return False

    def inference(self):
        return torch.no_grad()


class Renderer:
    tokenizer = make_tokenizer()
    end_ids = frozenset(range(40))


@pytest.fixture(scope="module")
def network():
    config = TransformerConfig(vocab_size=make_tokenizer().vocab_size, max_position_embeddings=64, **SHAPE)
    return random_network(config).double()


def run_of(policy, row_length: int, max_new_tokens: int, fit: float | None = None):
    """As much of a `training.engine.run.Run` as `Rollouts` needs: 8 prompts a step, nothing said yet."""
    footprint = Footprint(policy.config, row_length, "adamw", policy.config.num_parameters(), compute_bytes=4)
    plan = SimpleNamespace(row_length=row_length, batch_size=4, accumulation_steps=2, footprint=footprint)
    args, said = SimpleNamespace(max_new_tokens=max_new_tokens, fit=fit), []
    return SimpleNamespace(args=args, plan=plan, machine=Machine(), state=RunState(), said=said, say=said.append)


def test_an_answer_of_one_token_needs_a_position():
    policy = random_network(TransformerConfig(vocab_size=40, max_position_embeddings=16, **SHAPE))
    run = run_of(policy, row_length=2 * 16, max_new_tokens=1)
    with pytest.raises(UsageError, match="give --max_seq_len 15"):
        Rollouts(run, policy, None, group=2)
    run.plan.row_length = 2 * 15
    assert Rollouts(run, policy, None, group=2).max_length == 16


def test_no_more_answers_are_sampled_at_a_time_than_fit(network, monkeypatch):
    asked = []
    monkeypatch.setattr(rollouts, "converse", lambda model, prompts, *_, **settings: asked.append(len(prompts)) or [])
    needed = bytes_of_an_answer(run_of(network, 32, 8).plan.footprint, length=33, prompt_length=25, group=1)
    lasting = 4 * network.config.num_parameters() * 6  # weights, gradients, two moments, and the copies that write
    for fit, most in ((None, 512), (1000.0, 512), ((lasting + 5.5 * needed) / ROOM / 2**30, 5), (1e-9, 1)):
        run = run_of(network, 32, 8, fit)
        sampler = Rollouts(run, network, None)
        assert sampler.at_once == most
        said = [f"sampling  {most} of the 8 answers of a step at a time, as --fit {fit:g} allows"] if most < 8 else []
        assert run.said == said
    sample_answers(network, [[5]] * 12, Renderer, Machine(), max_new_tokens=8, temperature=1.0, at_once=5)
    assert asked == [5, 5, 2]


def test_a_resumed_run_samples_as_many_at_a_time_as_before_unless_fewer_fit(network, monkeypatch):
    """Else it would draw other answers than the run that was not interrupted."""
    run, other = run_of(network, 32, 8), 3
    for fits, sampled in ((7, 7), (512, 7), (5, 5), (7, 5)):
        monkeypatch.setattr(rollouts, "answers_at_once", lambda *sizes, fits=fits: fits)
        assert Rollouts(run, network, None).at_once == sampled
    monkeypatch.setattr(rollouts.distributed, "gathered", lambda value: [value, other])
    assert Rollouts(run, network, None).at_once == other


def test_the_memory_of_keys_and_values_is_that_of_the_cache(network):
    cache = KVCache(network.config, 3, 40)
    footprint = run_of(network, 32, 8).plan.footprint
    assert 3 * cache_of_an_answer(footprint, 33) == cache.keys.nbytes + cache.values.nbytes


def test_the_plan_counts_what_an_answer_sees_and_not_its_group(network):
    """Half precision on a CPU keeps the weights of attention, and a row holds an answer or shares a prompt."""
    args = parse_arguments(["--dtype=bfloat16", "--batch_size=2", "--accumulation_steps=1", "--group_size=8"])
    machine = SimpleNamespace(choice=Device(torch.device("cpu"), torch.bfloat16, ""), world_size=1, shards=None)
    rows = SimpleNamespace(rows_per_epoch=64, row_length=512, kind=PROMPTS, passes=np.ones(1), caches=[], held_out=None)
    machine.say, origin, rates = print, Origin("a network", stage="full_sft"), {"ours": {"adamw": 1e-4}}
    settings = {"base_rates": rates, "group_size": 8, "has_reference": False}
    plan = plan_of_rollouts(args, machine, network, rows, origin, **settings)
    alone = footprint_of(network, rows, "adamw", machine.choice)
    assert plan.row_length == 8 * 512 and plan.batch_size == 2
    assert plan.footprint.parts(2) == alone.parts(2 * 8)
    assert plan.footprint.parts(2, "cheap") == alone.parts(2 * 8, "cheap")
    frozen = copy.deepcopy(network)
    freeze_layers(frozen, 1)
    policy, critic = (
        plan_of_rollouts(args, machine, frozen, rows, origin, **settings, parameters_beside=beside)
        for beside in (0, 1000)
    )
    learned = [each.footprint.parts(2)["activations"] for each in (policy, critic)]
    assert learned[0] < learned[1] == alone.parts(2 * 8)["activations"]  # a critic learns in all layers
    args.ptx_weight = 0.5
    with_texts = plan_of_rollouts(args, machine, network, rows, origin, **settings).footprint
    assert with_texts.parts(2) == alone.parts(2 * 8 + 1)  # the row beside them is as long as theirs, --max_seq_len


# Two prompts, one of a single token, with several answers each.
GROUPS = [
    Answer([5, 6, 7, 8, 2], [False, False, False, True, True], True, 3),
    Answer([4, 9, 2], [False, True, True], True, 1),
    Answer([5, 6, 7, 9, 30, 31, 7, 8], [False, False, False, True, False, False, True, True], False, 6, 1),
    Answer([5, 6, 7, 8, 8, 8, 2], [False, False, False, True, True, True, True], True, 3),
    Answer([4, 4, 9, 9, 2], [False, True, True, True, True], True, 1),
    Answer([5, 6, 7, 2], [False, False, False, True], True, 3),
]


def batches(rows: int = 8, row_length: int = ROW, answers=ANSWERS, share: bool = False):
    return list(answer_batches(answers, range(len(answers)), row_length, rows, 0, share))


def alone(network, answer: Answer) -> tuple[torch.Tensor, torch.Tensor]:
    """log p and entropy of each action of one answer, from the logits as they stand in a formula."""
    logits = network(torch.tensor([answer.ids[:-1]]))[0] / T
    log_p = logits.log_softmax(dim=-1)
    places = [i - 1 for i, action in enumerate(answer.actions) if action]
    chosen = torch.tensor([answer.ids[place + 1] for place in places])
    return log_p[places, chosen], -(log_p.exp() * log_p).sum(dim=-1)[places]


@pytest.mark.parametrize("answers, share", [(ANSWERS, False), (ANSWERS, True), (GROUPS, False), (GROUPS, True)])
@pytest.mark.parametrize("rows, row_length", [(8, ROW), (1, ROW), (8, 8), (8, 60)])
def test_packed_answers_have_the_log_probabilities_of_each_alone(network, rows, row_length, answers, share):
    seen = []
    for batch in batches(rows, row_length, answers, share):
        log_p, entropy = action_log_probabilities(network, batch, T)
        assert len(batch.tokens) <= rows
        for index, number in enumerate(batch.numbers.tolist()):
            wanted = alone(network, answers[number])
            for found, right in zip((log_p, entropy), wanted):
                torch.testing.assert_close(found[index][batch.mask[index]], right)
                assert (found[index][~batch.mask[index]] == 0).all()
            seen.append(number)
    assert sorted(seen) == list(range(len(answers)))


def test_a_shared_prompt_stands_in_a_row_once():
    (batch,) = batches(row_length=12, answers=[GROUPS[0], GROUPS[3], GROUPS[5]], share=True)
    assert batch.tokens.tolist() == [[5, 6, 7, 8, 7, 8, 8, 8, 7, 0, 0, 0]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 2, 3, 4, 5, 2, 0, 0, 0]]
    assert batch.targets.tolist() == [[-100, -100, 8, 2, 8, 8, 8, 2, 2, -100, -100, -100]]
    seen = batch.sight[0, 0, 7].tolist()  # the last token of the second answer sees the prompt and itself
    assert seen == [True, True, False, False, True, True, True, True, False, False, False, False]


def test_a_row_is_filled_to_its_end_with_answers_that_share_their_prompt():
    (batch,) = batches(row_length=9, answers=[GROUPS[0], GROUPS[3], GROUPS[5]], share=True)
    assert batch.tokens.tolist() == [[5, 6, 7, 8, 7, 8, 8, 8, 7]] and batch.actions == 2 + 4 + 1
    (batch,) = batches(row_length=8, answers=[GROUPS[0], GROUPS[3], GROUPS[5]], share=True)
    assert batch.tokens.tolist() == [[5, 6, 7, 8, 7, 8, 8, 8], [5, 6, 7, 0, 0, 0, 0, 0]] and batch.actions == 7


def test_a_completion_is_all_behind_the_prompt_and_not_the_last_turn_alone():
    assert [answer.completion for answer in ANSWERS[:2]] == [[8, 9, 2], [9, 4, 2, 30, 31, 7, 8]]


def gradient(
    network, rows: int, name: str, answers=ANSWERS, advantages=(1.0, -2.0, 0.5, 0.25), share: bool = False
) -> torch.Tensor:
    """The gradient of an update, whose loss is the sum over its micro-batches divided by the count of all of them."""
    network.zero_grad()
    total = 0
    for batch in batches(rows, answers=answers, share=share):
        log_p, _ = action_log_probabilities(network, batch, T)
        weights = torch.tensor(advantages, dtype=torch.float64)[batch.numbers]
        found = policy_loss(name, log_p, log_p.detach(), weights, batch.mask)
        found.loss_sum.backward()
        total += int(found.count)
    return torch.cat([p.grad.flatten() for p in network.parameters()]) / total


def test_the_flags_of_grpo_are_the_settings_of_its_loss():
    flags = "--clip_low=0.1 --clip_high=0.3 --dual_clip=3 --kl_coef=0.2 --max_new_tokens=50".split()
    assert settings_of(parse_arguments(flags)) == Settings(0.1, 0.3, dual_clip=3.0, longest=50, beta=0.2)
    flags = "--loss_type=cispo --cispo_cap=4 --tools calculator --max_turns=3 --max_new_tokens=50".split()
    assert settings_of(parse_arguments(flags)) == Settings(cispo_cap=4.0, longest=150)  # an answer has all its turns


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"bnpo", "dr_grpo"}))
def test_how_answers_are_split_up_changes_no_gradient(network, name):
    torch.testing.assert_close(gradient(network, 1, name), gradient(network, 8, name))


def test_answers_that_share_their_prompt_have_the_gradient_of_those_that_do_not(network):
    given = {"name": "grpo", "answers": GROUPS, "advantages": (1.0, -2.0, 0.5, 0.25, 0.75, -1.0)}
    torch.testing.assert_close(gradient(network, 2, share=True, **given), gradient(network, 8, **given))


def test_the_first_update_is_reinforce(network):
    network.zero_grad()
    count = sum(sum(answer.actions) for answer in ANSWERS)
    for answer, advantage in zip(ANSWERS, (1.0, -2.0, 0.5, 0.25)):
        (-advantage * alone(network, answer)[0].sum() / count).backward()
    wanted = torch.cat([p.grad.flatten() for p in network.parameters()])
    torch.testing.assert_close(gradient(network, 8, "dapo"), wanted, atol=1e-6, rtol=1e-6)


def test_what_comes_from_outside_is_read_but_not_learned(network):
    """The result of a tool is no target: another one changes the gradient only through what is read."""
    (batch,) = batches()
    targets = {int(token) for token in batch.targets.unique()} - {-100}
    assert {30, 31}.isdisjoint(targets) and 2 in targets  # the end of a turn is an action
    only = Answer(ANSWERS[1].ids[:6], [False] * 6, False, 6)
    assert gradient(network, 8, "dapo", [ANSWERS[0], only], (0.0, 5.0)).abs().max() == 0


def test_the_state_of_a_run_gives_back_the_answers():
    class Prompt:
        messages = ({"role": "user", "content": "x"},)

    kept = to_keep([Prompt] * 4, ANSWERS, make_tokenizer())
    assert from_kept(kept) == ANSWERS and sorted(kept["order"].tolist()) == [0, 1, 2, 3]


def test_answers_are_shared_out_among_mini_batches_in_their_order_and_without_those_that_are_cut():
    sampler = Rollouts.__new__(Rollouts)
    kept = {"order": torch.tensor([3, 1, 0, 2]), "ended": torch.tensor([True, False, True, True])}
    for flags, expected in (
        ({"mini_batches": 2}, [[3, 1], [0, 2]]),
        ({"mini_batches": 2, "mask_truncated": True}, [[3, 0], [2]]),
    ):
        sampler.args = SimpleNamespace(**flags)
        assert [part.tolist() for part in sampler.parts(kept)] == expected


def test_log_probabilities_to_keep_are_those_of_each_answer_alone_by_the_kernels_of_training(network):
    """At the temperature of the run; and an update gets those of its own answers."""
    sampler = Rollouts.__new__(Rollouts)
    sampler.args = SimpleNamespace(temperature=T, mini_batches=2)
    sampler.plan, sampler.group = SimpleNamespace(row_length=ROW, batch_size=2), 1
    sampler.renderer = SimpleNamespace(tokenizer=SimpleNamespace(pad_id=0))
    polls, modes, device = [], [], torch.device("cpu")
    sampler.machine = SimpleNamespace(
        poll=lambda: polls.append(1), autocast=nullcontext, move=lambda batch: batch, device=device
    )
    kept = to_keep([SimpleNamespace(messages=({"content": "x"},))] * 4, ANSWERS, make_tokenizer())
    kept["order"] = torch.tensor([2, 0, 3, 1])
    features, network.features = network.features, lambda *w, **n: modes.append(network.training) or features(*w, **n)
    network.eval()
    found = sampler.log_probabilities(network, ANSWERS, kept)
    del network.features
    assert set(modes) == {True} and not network.training and len(polls) >= 2
    for number, answer in enumerate(ANSWERS):
        wanted = alone(network, answer)[0].float()
        torch.testing.assert_close(found[number, : len(wanted)], wanted, atol=1e-5, rtol=1e-5)
        assert not found[number, len(wanted) :].any()
    kept |= {"old": found, "worth": torch.arange(4.0), "reference": None}
    step, seen = SimpleNamespace(batches=lambda rows: rows), []
    for update in range(3):  # the third is the first part again
        numbers = []
        for batch, old, worth, reference in sampler.batches(step, kept, update, ("old", "worth", "reference")):
            assert worth.tolist() == batch.numbers.tolist() and reference is None
            assert torch.equal(old, found[batch.numbers, : batch.mask.shape[1]])
            numbers += batch.numbers.tolist()
        seen.append(sorted(numbers))
    assert seen == [[0, 2], [1, 3], [0, 2]]


def test_sampled_answers_end_with_an_end_or_without_room(network):
    prompts = [[5, 6], [7], [8, 9, 10]] * 8
    settings = {"max_new_tokens": 6, "temperature": 1.0, "generator": new_generator(seed=0)}
    answers = sample_answers(network, prompts, Renderer, Machine(), **settings)
    for prompt, answer in zip(prompts, answers, strict=True):
        assert answer.ids[: len(prompt)] == prompt and not any(answer.actions[: len(prompt)])
        assert all(answer.actions[len(prompt) :]) and len(answer.actions) == len(answer.ids)
        assert answer.ended == (answer.ids[-1] < 40) and (answer.ended or len(answer.completion) == 6)
        assert not any(token < 40 for token in answer.completion[:-1])
    assert 0 < np.mean([answer.ended for answer in answers]) < 1


def test_no_answer_has_what_is_no_token_of_the_tokenizer(network):
    """An imported network may have more outputs than that, and a reward model, a critic or a teacher fewer inputs."""
    tokens = network.config.vocab_size
    wide = random_network(network.config.replace(vocab_size=2 * tokens))
    answers = sample_answers(wide, [[5, 6]] * 20, Renderer, Machine(), max_new_tokens=6, temperature=1.0)
    assert max(token for answer in answers for token in answer.ids) < tokens


def test_actions_are_drawn_as_likely_as_they_are_scored(network):
    """At the temperature that the losses divide by: the share of each token among many draws is its probability."""
    settings = {"max_new_tokens": 1, "temperature": T, "generator": new_generator(seed=1)}
    answers = sample_answers(network, [[5, 6]] * 4000, Renderer, Machine(), **settings)
    drawn = np.bincount([answer.ids[-1] for answer in answers], minlength=network.config.vocab_size) / 4000
    likely = (network(torch.tensor([[5, 6]]))[0, -1] / T).softmax(dim=-1).detach().numpy()
    assert np.abs(drawn - likely).max() < 0.03 and likely.max() > 0.01
