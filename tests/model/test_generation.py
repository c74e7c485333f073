"""Generation with and without cache, padding, end of text."""

import math

import pytest
import torch

from model.attention import KVCache
from model.config import TransformerConfig
from model.errors import SproutError
from model.generation import generate_batch, new_generator, new_tokens
from model.sampling import GREEDY, Sampling
from model.transformer import Transformer

EOS = 2


def small_model(seed=0, **changes):
    """A network whose output depends on every weight: in a fresh one o_proj and down_proj are zero."""
    config = TransformerConfig(
        vocab_size=61,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
    ).replace(**changes)
    torch.manual_seed(seed)
    model = Transformer(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def random_prompt(length, seed=0):
    return torch.randint(3, 61, (length,), generator=new_generator(seed=seed)).tolist()


def streamed(model, prompt, **settings):
    """What follows one prompt, token by token."""
    return [token for (token,) in new_tokens(model, [prompt], **settings)]


def greedy_without_cache(model, prompt, count):
    """The definition: the most probable next token of the whole text, again and again."""
    tokens = list(prompt)
    with torch.no_grad():
        for _ in range(count):
            tokens.append(model(torch.tensor([tokens]))[0, -1].argmax().item())
    return tokens[len(prompt) :]


SHAPES = [
    {},
    {"qk_norm": True},
    {"attention_bias": True},
    {"num_key_value_heads": 4},
    {"tie_word_embeddings": False},
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cached_logits_equal_those_of_the_whole_text(shape):
    model = small_model(**shape)
    tokens = torch.tensor([random_prompt(24, seed=1), random_prompt(24, seed=2)])
    with torch.no_grad():
        whole = model(tokens)
        cache = KVCache(model.config, 2, 24)
        pieces = [model(part, cache=cache) for part in tokens.split([7, 1, 1, 5, 1, 9], dim=1)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_greedy_text_is_the_most_probable_text(shape):
    model = small_model(**shape)
    prompt = random_prompt(5)
    answer = streamed(model, prompt, max_new_tokens=40, sampling=GREEDY)
    assert answer == greedy_without_cache(model, prompt, 40)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_prompts_of_different_lengths_do_not_affect_each_other(shape):
    model = small_model(**shape)
    prompts = [random_prompt(length, seed=length) for length in (1, 9, 4, 9, 2)]
    together = generate_batch(model, prompts, max_new_tokens=30, sampling=GREEDY)
    alone = [generate_batch(model, [prompt], max_new_tokens=30, sampling=GREEDY)[0] for prompt in prompts]
    assert together == alone
    assert together == [greedy_without_cache(model, prompt, 30) for prompt in prompts]


@pytest.mark.parametrize("shared", [0, 15, 16, 20])
def test_long_prompts_with_and_without_a_common_beginning_are_read_as_each_alone(shared):
    """One of them is the beginning of another, and one stands there twice."""
    model, begin = small_model(), random_prompt(shared, seed=50)
    prompts = [begin + random_prompt(length, seed=length) for length in (24, 20, 31)]
    prompts += [prompts[0][:-3], prompts[1]]
    if shared == 20:
        prompts.append(begin)  # which all others begin with
    together = generate_batch(model, prompts, max_new_tokens=8, sampling=Sampling(0, repetition_penalty=1.3))
    for prompt, answer in zip(prompts, together, strict=True):
        assert answer == streamed(model, prompt, max_new_tokens=8, sampling=Sampling(0, repetition_penalty=1.3))


def test_an_answer_ends_with_its_end_token_and_the_others_go_on():
    model = small_model()
    prompts = [random_prompt(6, seed=seed) for seed in range(6)]
    free = [greedy_without_cache(model, prompt, 20) for prompt in prompts]
    ends = {free[0][3], free[1][5]}
    answers = generate_batch(model, prompts, max_new_tokens=20, sampling=GREEDY, eos_ids=ends)
    for answer, unbounded in zip(answers, free, strict=True):
        first = next((i for i, token in enumerate(unbounded) if token in ends), len(unbounded) - 1)
        assert answer == unbounded[: first + 1]
    assert len({len(answer) for answer in answers}) > 1
    assert streamed(model, prompts[0], max_new_tokens=20, sampling=GREEDY, eos_ids=ends) == answers[0]


def test_a_seed_reproduces_and_leaves_the_global_generator_alone():
    model = small_model()
    state = torch.get_rng_state()

    def text(seed):
        how = Sampling(1.0, top_p=0.95)
        return streamed(model, [1], max_new_tokens=30, sampling=how, generator=new_generator(seed=seed))

    assert text(1) == text(1) != text(2)
    assert streamed(model, [1], max_new_tokens=30) != streamed(model, [1], max_new_tokens=30)
    assert torch.equal(state, torch.get_rng_state())


def test_repetition_penalty_counts_prompt_and_answer():
    model = small_model()
    prompt, how = random_prompt(4), Sampling(0, repetition_penalty=1.5)
    tokens = list(prompt)
    with torch.no_grad():
        for _ in range(25):
            logits = model(torch.tensor([tokens]))[0, -1]
            for token in set(tokens):
                logits[token] = logits[token] / 1.5 if logits[token] > 0 else logits[token] * 1.5
            tokens.append(logits.argmax().item())
    assert streamed(model, prompt, max_new_tokens=25, sampling=how) == tokens[4:]
    padded = generate_batch(model, [prompt, random_prompt(9)], max_new_tokens=25, sampling=how)
    assert padded[0] == tokens[4:]  # the padding token has not been seen


def test_generation_ends_where_the_positions_end():
    model = small_model(max_position_embeddings=16)
    assert len(streamed(model, random_prompt(10), max_new_tokens=100)) == 6
    with pytest.raises(SproutError, match="16 tokens and the network 16 positions"):
        streamed(model, random_prompt(16), max_new_tokens=1)
    with pytest.raises(ValueError, match="at least one token"):
        streamed(model, [], max_new_tokens=1)
    assert generate_batch(model, [], max_new_tokens=5) == []
    assert generate_batch(model, [[1]], max_new_tokens=0) == [[]]


def test_stop_ends_before_the_next_token():
    model, polls = small_model(), iter([False, False, False, True])
    answers = generate_batch(model, [[1], [1, 5]], max_new_tokens=20, stop=lambda: next(polls))
    assert [len(answer) for answer in answers] == [3, 3]


def test_the_training_mode_is_restored_also_after_an_early_end():
    model = small_model().train()
    tokens = new_tokens(model, [[1]], max_new_tokens=20)
    next(tokens)
    assert not torch.is_inference_mode_enabled()  # between two tokens the caller is not in inference mode
    tokens.close()
    assert model.training
    generate_batch(model.eval(), [[1]], max_new_tokens=1)
    assert not model.training
    model(torch.tensor([[1, 4]])).sum().backward()


def test_weights_that_are_not_numbers_are_reported():
    model = small_model()
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[3, 3] = math.nan
    with pytest.raises(SproutError, match="not numbers"):
        generate_batch(model, [[1, 5]], max_new_tokens=4, sampling=GREEDY)


def test_generation_under_autocast():
    model, logits = small_model(), []
    model.lm_head.register_forward_hook(lambda module, inputs, output: logits.append(output))
    prompt = random_prompt(6)
    with torch.autocast("cpu", torch.bfloat16):
        (answer,) = generate_batch(model, [prompt], max_new_tokens=12, sampling=GREEDY)
    computed = torch.stack(logits, dim=1)
    assert answer == computed.argmax(-1)[0].tolist() and computed.dtype == torch.bfloat16
    with torch.no_grad():
        exact = model(torch.tensor([[*prompt, *answer[:-1]]]))[:, len(prompt) - 1 :]
    assert (computed - exact).norm() < 0.05 * exact.norm()


def test_what_a_network_computes_behind_an_end_stops_no_other_text():
    model, prompts = small_model(seed=1, tie_word_embeddings=False), [[5, 6], [7, 8]]
    (first, *_), expected = generate_batch(model, prompts, max_new_tokens=6, sampling=GREEDY)
    assert first not in expected
    with torch.no_grad():
        model.model.embed_tokens.weight[first] = math.nan  # the first text has ended, and goes on in its slot
    found = generate_batch(model, prompts, max_new_tokens=6, sampling=GREEDY, eos_ids={first})
    assert found[1] == expected
