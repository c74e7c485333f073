"""A batch that is joined and left: what a text becomes does not depend on which others run beside it."""

import math

import pytest
import torch

from model import key_columns, running_batch
from model.config import TransformerConfig
from model.decoding import rearrange
from model.generation import generate_batch, new_generator
from model.running_batch import Row, RunningBatch
from model.sampling import GREEDY, Sampling
from tests.support import random_network

CONFIG = TransformerConfig(
    vocab_size=90, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=700, qk_norm=True, tie_word_embeddings=False,
)  # fmt: skip
PROMPTS = [[5], [1, 2, 3, 4, 5, 6, 7], [9, 8], [80, 3, 3, 11], [5], [17] * 20]
WAYS = [
    {"sampling": GREEDY},
    {"sampling": Sampling(0.8, top_p=0.9), "presence": 0.5, "frequency": 0.3},
    {"sampling": Sampling(1.2, top_k=20, repetition_penalty=0.8)},
    {"sampling": Sampling(0.0, repetition_penalty=1.5)},
    {"sampling": Sampling(0.8, top_p=0.9)},
    {"sampling": Sampling(1.0, min_p=0.1, repetition_penalty=1.3), "frequency": 1.0},
]


@pytest.fixture(scope="module")
def network():
    return random_network(CONFIG)


@pytest.fixture(scope="module")
def model():
    model = random_network(CONFIG)
    rearrange(model, torch.float32)
    return model


@pytest.fixture(autouse=True, params=[16, 1], ids=["keys by rows", "keys by columns"])
def small_steps(request, monkeypatch):
    """Prompts are read in parts, and scored in smaller ones, and the cache grows."""
    monkeypatch.setattr(key_columns, "LEAST_ROWS", request.param)
    monkeypatch.setattr(running_batch, "READ_AT_ONCE", 3)
    monkeypatch.setattr(running_batch, "MOST_LOGITS", 2 * CONFIG.vocab_size)
    monkeypatch.setattr(running_batch, "LEAST_CAPACITY", 8)


def new_row(number: int, **more) -> Row:
    return Row(PROMPTS[number], seed=number, **WAYS[number], top=0, **more)


def read(batch: RunningBatch, row: Row) -> None:
    while not batch.read(row):
        pass


def alone(model, number: int, count: int) -> list:
    batch, row = RunningBatch(model), new_row(number)
    read(batch, row)
    tokens = [row.newest]
    while len(tokens) < count:
        batch.step()
        tokens.append(row.newest)
    return tokens


def test_what_a_text_becomes_does_not_depend_on_its_neighbours(model):
    # Two that are sampled in one way are written at the same time, and a long text takes the slot of a short one.
    lengths = [25, 30, 40, 12, 3, 30]
    batch, waiting, rows, written = RunningBatch(model), list(range(6)), {}, {number: [] for number in range(6)}
    for turn in range(100):
        if waiting and turn % 4 == 0:  # they come one by one, and a prompt is read while the others are written
            number = waiting.pop(0)
            rows[number] = new_row(number)
            read(batch, rows[number])
            written[number].append(rows[number].newest)
        if batch.rows:
            writing = [number for number, row in rows.items() if row in batch.rows]
            batch.step()
            for number in writing:
                written[number].append(rows[number].newest)
        for number, row in rows.items():
            if len(written[number]) >= lengths[number]:
                batch.leave(row)
    assert not batch.rows and batch._cache is batch._latest is None  # their memory is given back
    for number, length in enumerate(lengths):
        expected = alone(model, number, length)
        assert [token.id for token in written[number]] == [token.id for token in expected]
        for here, there in zip(written[number], expected):
            assert here.logprob == pytest.approx(there.logprob, abs=1e-4) and here.logprob < 0


@pytest.mark.parametrize("number", [number for number, way in enumerate(WAYS) if way.keys() == {"sampling"}])
def test_tokens_are_those_of_the_decoding_engine_with_the_same_random_numbers(model, network, number):
    prompt, how = [*range(3, 20), 5, 5], WAYS[number]["sampling"]
    batch, row = RunningBatch(model), Row(prompt, how, seed=number)
    read(batch, row)
    ids = [row.newest.id]
    for _ in range(19):
        batch.step()
        ids.append(row.newest.id)
    settings = {"max_new_tokens": 20, "sampling": how, "generator": new_generator(seed=number)}
    assert [ids] == generate_batch(network, [prompt], **settings)


def test_probabilities_are_those_of_the_network(model, network):
    prompt, top = [4, 70, 8, 33, 2], 4
    batch, row = RunningBatch(model), Row(prompt, Sampling(0.5, top_k=3), seed=1, top=top, scores_prompt=True)
    read(batch, row)
    told = [*row.prompt_scores, row.newest]
    for _ in range(6):
        batch.step()
        told.append(row.newest)
    ids = [token.id for token in told]
    with torch.no_grad():
        expected = network(torch.tensor([ids]))[0].double().log_softmax(-1)
    assert ids[:5] == prompt and told[0].logprob is None
    for place, token in enumerate(told[1:]):
        assert token.logprob == pytest.approx(float(expected[place, token.id]), abs=1e-5)
        values, places = expected[place].topk(top)
        assert [other for other, _ in token.top] == places.tolist()
        assert [value for _, value in token.top] == pytest.approx(values.tolist(), abs=1e-5)


def test_half_precision_is_of_the_products_alone():
    """What is told of a token adds up to one, and is not rounded to three digits."""
    model = random_network(CONFIG)
    rearrange(model, torch.bfloat16)
    batch, row = RunningBatch(model), Row([4, 70, 8], GREEDY, top=CONFIG.vocab_size)
    read(batch, row)
    assert math.fsum(math.exp(logprob) for _, logprob in row.newest.top) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("presence, frequency", [(0.7, 0.4), (3.0, 0.0), (0.0, 0.4)])
def test_the_other_penalties_are_openais(network, presence, frequency):
    """logits - frequency * count - presence * (count > 0), of what the answer has so far. What is told of a token is
    what the network thought of it without them."""
    model = random_network(CONFIG)
    rearrange(model, torch.float32)
    batch, row = RunningBatch(model), Row([7, 7], GREEDY, presence=presence, frequency=frequency, top=1)
    read(batch, row)
    ids = [7, 7, row.newest.id]
    for _ in range(25):
        with torch.no_grad():
            logits = network(torch.tensor([ids]))[0, -1]
        counts = torch.bincount(torch.tensor(ids[2:]), minlength=CONFIG.vocab_size)
        batch.step()
        assert row.newest.id == int((logits - frequency * counts - presence * (counts > 0)).argmax())
        assert row.newest.logprob == pytest.approx(logits.log_softmax(-1)[row.newest.id].item(), abs=1e-4)
        assert row.newest.top[0][0] == logits.argmax()
        ids.append(row.newest.id)


@pytest.mark.parametrize("how", [{"temperature": 0}, {"temperature": 1.5}, {"repetition_penalty": 1.5}])
def test_tokens_beyond_the_vocabulary_are_not_written(model, how):
    batch, rows = RunningBatch(model), [Row([5, 6], Sampling(vocabulary=30, **how), seed) for seed in range(4)]
    for row in rows:
        read(batch, row)
    for _ in range(20):
        assert all(row.newest.id < 30 for row in rows)
        batch.step()


def test_a_prompt_that_is_only_scored_takes_no_slot(model):
    batch, row = RunningBatch(model), Row([4, 5, 6, 7], top=0, scores_prompt=True)
    while not batch.read(row, joins=False):
        pass
    assert [score.id for score in row.prompt_scores] == [4, 5, 6, 7] and not batch.rows
    assert not any(score.top for score in row.prompt_scores)


def test_a_prompt_that_was_just_read_is_scored_all_the_same(model):
    batch, first = RunningBatch(model), Row([4, 5, 6, 7], GREEDY, top=0)
    read(batch, first)
    again, scored = (Row([4, 5, 6, 7], GREEDY, top=0, scores_prompt=scores) for scores in (False, True))
    assert batch.read(again)  # at once, since it is known
    read(batch, scored)
    assert [score.id for score in scored.prompt_scores] == [4, 5, 6, 7]
    assert first.newest.id == again.newest.id == scored.newest.id
    for _ in range(5):
        batch.step()
        assert first.newest.id == again.newest.id == scored.newest.id  # each goes on behind what was read


def test_no_more_tokens_are_told_of_than_there_are(model):
    batch, row = RunningBatch(model), Row([4, 5], GREEDY, top=1000)
    read(batch, row)
    assert len(row.newest.top) == CONFIG.vocab_size


@pytest.mark.parametrize("moves", [False, True])
def test_numbers_that_are_none_do_not_spread(model, moves):
    """A row that computes NaN fails alone, and the next text in its slot is sound, as is that in the slot that it had
    before it took the one of a text that left in the same step."""
    batch, gone, broken, sound = RunningBatch(model), new_row(0), Row(PROMPTS[1], seed=1), new_row(2)
    before = [sound, gone, broken] if moves else [broken, sound]
    for row in before:
        read(batch, row)
    tokens, place = [sound.newest], before.index(broken)
    with torch.inference_mode():
        batch._cache.keys[:, place].fill_(torch.nan)
        batch._cache.values[:, place].fill_(torch.nan)
    batch.step()
    tokens.append(sound.newest)
    assert broken.newest is None
    for row in (gone, broken):
        batch.leave(row)
    after = [new_row(number) for number in (3, 4, 5)]
    others = [[], [], []]
    for row, written in zip(after, others):
        read(batch, row)
        written.append(row.newest)
    for _ in range(5):
        batch.step()
        tokens.append(sound.newest)
        for row, written in zip(after, others):
            written.append(row.newest)
    for number, written in ((2, tokens), (3, others[0]), (4, others[1]), (5, others[2])):
        assert [t.id for t in written] == [t.id for t in alone(model, number, len(written))]
