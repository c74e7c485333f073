"""Answers that the network gives itself: which steps have them, what they are given to, and what of them is trained."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from dataset.rows.rows import Batch
from model.config import TransformerConfig
from model.likelihood import IGNORE
from tests.support import random_network
from training.stages.on_policy import is_on_policy, own_answers, prompts_of

END, PAD = 2, 0


def rows_of(*rows: list[tuple[list[int], list[int]]], length: int = 16) -> Batch:
    """Rows of conversations, each its ids and the places of those that are trained."""
    tokens = torch.full((len(rows), length), PAD)
    targets, positions = torch.full_like(tokens, IGNORE), torch.zeros_like(tokens)
    for row, conversations in enumerate(rows):
        start = 0
        for ids, trained in conversations:
            n = len(ids) - 1
            tokens[row, start : start + n] = torch.tensor(ids[:-1])
            positions[row, start : start + n] = torch.arange(n)
            for place in trained:
                targets[row, start + place - 1] = ids[place]
            start += n
    return Batch(tokens, targets, positions, int((targets != IGNORE).sum()))


ONE_TURN = [1, 11, 12, 13, END], [3, 4]
TWO_TURNS = [1, 21, 22, END, 1, 23, 24, 25, END], [2, 3, 6, 7, 8]
BATCH = rows_of([ONE_TURN, TWO_TURNS], [TWO_TURNS, ONE_TURN], [ONE_TURN])


@pytest.fixture(scope="module")
def network():
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return random_network(TransformerConfig(vocab_size=32, num_key_value_heads=1, max_position_embeddings=64, **sizes))


MACHINE = SimpleNamespace(device="cpu", move=lambda batch: batch, inference=nullcontext, poll=lambda: False)


def sampled(network, *batches: Batch, ends=(END,), rows=10_000, max_new_tokens=100, seed=0) -> list[Batch]:
    renderer = SimpleNamespace(end_ids=set(ends), tokenizer=SimpleNamespace(vocab_size=32))
    args = SimpleNamespace(seed=seed, max_new_tokens=max_new_tokens)
    return list(own_answers(network, batches, renderer, MACHINE, args, step=5, rows=rows))


def sample(network, batch=BATCH, **words) -> Batch:
    (found,) = sampled(network, batch, **words)
    return found


def conversations_in(batch: Batch) -> list[tuple[list[int], list[int]]]:
    """(prompt, trained tokens) of each."""
    found = []
    for tokens, targets, positions in zip(batch.tokens, batch.targets, batch.positions):
        starts = (positions == 0).nonzero()[:, 0].tolist()
        for start, end in zip(starts, [*starts[1:], len(positions)]):
            trained = (targets[start:end] != IGNORE).nonzero()[:, 0].tolist()
            if trained:
                assert trained == list(range(trained[0], trained[-1] + 1))
                answer = targets[start:end][trained].tolist()
                assert tokens[start:end][trained[0] + 1 : trained[-1] + 1].tolist() == answer[:-1]
                assert positions[start : start + trained[-1] + 1].tolist() == list(range(trained[-1] + 1))
                found.append((tokens[start : start + trained[0] + 1].tolist(), answer))
    return found


def test_a_prompt_is_all_before_the_last_answer():
    one, two = ONE_TURN[0][:3], TWO_TURNS[0][:6]
    assert prompts_of(BATCH) == [one, two, two, one, one]


def test_each_prompt_is_answered_once_and_only_the_answer_is_trained(network):
    batch = sample(network)
    found = conversations_in(batch)
    assert sorted(prompt for prompt, _ in found) == sorted(prompts_of(BATCH))
    assert batch.trained == sum(len(answer) for _, answer in found) == (batch.targets != IGNORE).sum()
    assert batch.tokens.shape[1] == BATCH.tokens.shape[1]
    for prompt, answer in found:
        assert END not in answer[:-1]
        assert answer[-1] == END or len(prompt) + len(answer) <= BATCH.tokens.shape[1] + 1


def test_a_long_prompt_takes_no_room_from_the_answers_of_others(network):
    """Rows of 16: three tokens of a prompt leave 14 to its answer, fifteen leave two."""
    endless = random_network(network.config, seed=3)
    long = ([1, *range(5, 19), END], [15])
    batch = rows_of([ONE_TURN], [long])
    drawn = sample(endless, batch, ends=())
    assert sorted((len(prompt), len(answer)) for prompt, answer in conversations_in(drawn)) == [(3, 14), (15, 2)]


def test_a_prompt_that_fills_all_positions_is_left_out():
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    small = random_network(TransformerConfig(vocab_size=32, num_key_value_heads=1, max_position_embeddings=16, **sizes))
    full, nearly = (([1, *range(5, 5 + n), END], [n + 1]) for n in (15, 14))
    batch = rows_of([full], [nearly], [ONE_TURN])
    found = conversations_in(sample(small, batch, ends=()))
    assert sorted((len(prompt), len(answer)) for prompt, answer in found) == [(3, 13), (15, 1)]
    assert not sampled(small, rows_of([full]))


@pytest.mark.parametrize("most", [1, 3])
def test_answers_are_no_longer_than_allowed(network, most):
    lengths = [len(answer) for _, answer in conversations_in(sample(network, max_new_tokens=most))]
    assert len(lengths) == 5 and max(lengths) == most


def test_the_same_seed_gives_the_same_answers_and_another_one_others(network):
    a, b, c = (sample(network, seed=seed).targets for seed in (1, 1, 2))
    assert torch.equal(a, b) and not (a.shape == c.shape and torch.equal(a, c))


def test_answers_are_drawn_from_the_network_itself(network):
    """Of many first tokens to one prompt, as many each as their probability says."""
    batch = rows_of(*[[ONE_TURN]] * 3000)
    first = torch.tensor([answer[0] for _, answer in conversations_in(sample(network, batch, max_new_tokens=1))])
    with torch.no_grad():
        expected = network(torch.tensor([ONE_TURN[0][:3]]))[0, -1].softmax(-1)
    assert (torch.bincount(first, minlength=32) / 3000 - expected).abs().max() < 0.04


def test_generating_leaves_the_network_in_training_and_global_random_numbers_alone(network):
    network.train()
    state = torch.get_rng_state()
    sample(network)
    assert network.training and torch.equal(torch.get_rng_state(), state)


def test_a_step_of_own_answers_has_micro_batches_no_larger_than_planned(network):
    two = [rows_of([ONE_TURN, TWO_TURNS], [TWO_TURNS, ONE_TURN]), rows_of([ONE_TURN], [ONE_TURN])]
    words = {"rows": 2, "ends": (), "max_new_tokens": 9}  # which never end, so all are longer than in the data
    drawn = sampled(network, *two, **words)
    prompts = sorted(prompt for batch in drawn for prompt, _ in conversations_in(batch))
    assert prompts == sorted(prompt for batch in two for prompt in prompts_of(batch)) and len(drawn) > len(two)
    assert all(len(batch.tokens) <= 2 and batch.trained == (batch.targets != IGNORE).sum() for batch in drawn)
    again = sampled(network, *two, **words)
    assert all(torch.equal(a.tokens, b.tokens) for a, b in zip(drawn, again, strict=True))


def test_the_share_of_steps_is_as_asked_and_a_function_of_seed_and_step():
    drawn = [is_on_policy(42, step, 0.3) for step in range(5000)]
    assert abs(sum(drawn) / 5000 - 0.3) < 0.03
    assert drawn == [is_on_policy(42, step, 0.3) for step in range(5000)]
    assert drawn != [is_on_policy(43, step, 0.3) for step in range(5000)]
    assert not any(is_on_policy(42, step, 0.0) for step in range(100))
    assert all(is_on_policy(42, step, 1.0) for step in range(100))
