"""A network at work: pieces of a text as they come, and how many tokens in how long."""

import pytest
import torch

from inference.writer import Writer, prepare_for_decoding
from model.device import Device
from model.errors import SproutError
from model.generation import generate_batch
from model.sampling import GREEDY
from tests.support import random_network
from tests.training.support import SMALL

CPU = Device(torch.device("cpu"), torch.float32, "")


@pytest.fixture(scope="module")
def network(small_tokenizer):
    return random_network(SMALL.replace(vocab_size=small_tokenizer.vocab_size))


def test_the_pieces_are_the_text_and_their_figures_grow(network, small_tokenizer):
    prompt = [1, *small_tokenizer.encode("Once upon")]
    writer = Writer(network, small_tokenizer, CPU, end_ids={2}, sampling=GREEDY, max_new_tokens=20)
    pieces = list(writer.write(prompt))
    (expected,) = generate_batch(network, [prompt], max_new_tokens=20, sampling=GREEDY, eos_ids={2})
    assert "".join(piece.text for piece in pieces) == small_tokenizer.decode(expected)
    counts, seconds = [piece.tokens for piece in pieces], [piece.seconds for piece in pieces]
    assert counts == [*range(1, len(expected) + 1), len(expected)]  # the last is what was held back
    assert seconds == sorted(seconds) and seconds[0] > 0


def test_a_seed_writes_the_same_again_and_texts_of_one_writer_may_take_turns(network, small_tokenizer):
    writer = Writer(network, small_tokenizer, CPU, end_ids=set(), max_new_tokens=10, seed=3)
    alone = [piece.text for piece in writer.write([1])]
    assert [piece.text for piece in writer.write([1])] == alone
    first, second = zip(*zip(writer.write([1]), writer.write([1])))
    assert [piece.text for piece in first] == [piece.text for piece in second] == alone


def test_a_prompt_without_room_for_an_answer_is_refused(network, small_tokenizer):
    writer = Writer(network, small_tokenizer, CPU, end_ids={2})
    with pytest.raises(SproutError, match="positions"):
        next(writer.write([1] * 64))


@pytest.mark.parametrize(
    "shape",
    [{}, {"qk_norm": True}, {"attention_bias": True}, {"num_key_value_heads": 4}, {"tie_word_embeddings": False}],
    ids=str,
)
def test_prepared_weights_say_the_same(shape):
    model = random_network(SMALL.replace(**shape))
    prompts = [[5, 40, 17, 8, 33, 60, 21], [9, 50, 3]]
    before = generate_batch(model, prompts, max_new_tokens=30, sampling=GREEDY)
    prepare_for_decoding(model)
    assert generate_batch(model, prompts, max_new_tokens=30, sampling=GREEDY) == before
    prepare_for_decoding(model)  # once more, as a second writer does
    assert generate_batch(model, prompts, max_new_tokens=30, sampling=GREEDY) == before


def test_prepared_bfloat16_keeps_exact_positions():
    model = random_network(SMALL)
    frequencies = model.rotary_frequencies.clone()
    tokens = torch.arange(3, 23)[None]
    with torch.no_grad():
        expected = model(tokens)
        prepare_for_decoding(model, torch.bfloat16)
        got = model(tokens)
    assert got.dtype == torch.bfloat16 and torch.equal(model.rotary_frequencies, frequencies)
    assert (got - expected).abs().mean() < 0.05 * expected.abs().mean()
    assert len(generate_batch(model, [[1], [1, 5]], max_new_tokens=5)[0]) == 5
