"""Sampling against brute force; generation with and without cache, padding, end of text."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from model.config import TransformerConfig
from model.errors import SproutError, UsageError
from model.generation import KVCache, generate_batch, new_generator, new_tokens
from model.sampling import GREEDY, Sampling, draw, filtered, sample
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


# --- sampling ------------------------------------------------------------------------------------------


def brute_force(row, how, seen):
    """Probability of each token, written with Python lists from the definitions."""
    logits = list(row)
    if how.repetition_penalty != 1:
        for token in seen:
            penalty = how.repetition_penalty
            logits[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
    logits = [x / how.temperature for x in logits]
    kept = set(range(len(logits)))
    by_probability = sorted(kept, key=lambda token: -logits[token])
    if how.top_k:
        kept = set(by_probability[: how.top_k])

    def probabilities():
        total = sum(math.exp(logits[token]) for token in kept)
        return {token: math.exp(logits[token]) / total for token in kept}

    p, nucleus, reached = probabilities(), set(), 0.0
    for token in by_probability:
        if token in kept and (reached < how.top_p or not nucleus) and how.top_p < 1:
            nucleus.add(token)
            reached += p[token]
    kept = nucleus or kept
    p = probabilities()
    kept = {token for token in kept if p[token] >= how.min_p * max(p.values())}
    p = probabilities()
    return [p.get(token, 0.0) for token in range(len(logits))]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "how",
    [
        Sampling(),
        Sampling(0.7),
        Sampling(top_k=1),
        Sampling(top_k=5),
        Sampling(top_k=1000),
        Sampling(top_p=0.9),
        Sampling(top_p=1e-6),
        Sampling(min_p=0.1),
        Sampling(min_p=1.0),
        Sampling(repetition_penalty=1.3),
        Sampling(1.5, top_k=20, top_p=0.8, min_p=0.02, repetition_penalty=1.2),
    ],
    ids=str,
)
def test_distribution_equals_brute_force(how, seed):
    random = new_generator(seed=seed)
    logits = torch.randn(3, 40, generator=random, dtype=torch.float64) * 3
    seen = torch.rand(3, 40, generator=random) < 0.3
    ours = filtered(logits, how, seen).softmax(-1)
    for row, marked, distribution in zip(logits, seen, ours, strict=True):
        expected = brute_force(row.tolist(), how, marked.nonzero().flatten().tolist())
        assert distribution.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "how", [Sampling(), Sampling(0.7, top_k=3, repetition_penalty=1.5), Sampling(0, repetition_penalty=9)]
)
def test_tokens_beyond_the_vocabulary_are_never_drawn_and_change_nothing(how):
    logits = torch.randn(300, 12, generator=new_generator(seed=2))
    logits[:, 8:] += 5
    seen = torch.rand(300, 12, generator=new_generator(seed=3)) < 0.5
    drawn = sample(logits, replace(how, vocabulary=8), seen, new_generator(seed=4))
    assert torch.equal(drawn, sample(logits[:, :8], how, seen[:, :8], new_generator(seed=4)))
    assert sample(logits, how, seen, new_generator(seed=4)).max() >= 8


def test_frequencies_follow_the_distribution():
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0, 3.0]])
    how = Sampling(1.3, top_k=4)
    drawn = sample(logits.expand(20_000, -1), how, generator=new_generator(seed=1))
    frequencies = drawn.bincount(minlength=5) / 20_000
    assert torch.allclose(frequencies, filtered(logits, how).softmax(-1)[0], atol=0.015)


def test_a_draw_is_where_a_random_number_falls_among_the_probabilities():
    """Also where most have none: those are never drawn."""
    torch.manual_seed(0)
    probabilities = torch.randn(500, 40).mul(3).softmax(-1) * (torch.rand(500, 40) < 0.3)
    probabilities[:, 7] += 1e-6  # none has no place at all
    numbers = torch.rand(500, 1, dtype=torch.float64, generator=new_generator(seed=4))[:, 0].tolist()
    expected = []
    for row, number in zip(probabilities.double().tolist(), numbers):
        sums = list(itertools.accumulate(row))
        expected.append(next(place for place, upto in enumerate(sums) if upto > number * sums[-1]))
    assert draw(probabilities, new_generator(seed=4)).tolist() == expected
    assert all(probabilities[row, place] > 0 for row, place in enumerate(expected))
    some = torch.tensor([400, 3, 77])  # those of a batch that have not ended
    assert draw(probabilities[some], new_generator(seed=4), (some, 500)).tolist() == [expected[i] for i in some]


def test_greedy_takes_the_largest_and_respects_the_penalty():
    logits = torch.tensor([[1.0, 3.0, 2.0], [-1.0, -3.0, -2.0]])
    assert sample(logits, GREEDY).tolist() == [1, 0]
    seen = torch.tensor([[False, True, False], [True, False, False]])
    assert sample(logits, Sampling(0, repetition_penalty=4.0), seen).tolist() == [2, 2]


def test_tokens_that_reach_p_exactly_are_enough():
    logits = torch.tensor([[0.25, 0.5, 0.25]]).log()
    assert filtered(logits, Sampling(top_p=0.5)).softmax(-1).tolist() == [[0, 1, 0]]
    assert filtered(logits, Sampling(top_p=0.51)).softmax(-1).count_nonzero() == 2


def test_logits_in_half_precision_are_filtered_in_float32():
    logits, seen = torch.randn(2, 40, generator=new_generator(seed=1)).bfloat16(), torch.ones(2, 40, dtype=torch.bool)
    how = Sampling(0.7, top_p=0.9, repetition_penalty=1.3)
    assert torch.equal(filtered(logits, how, seen), filtered(logits.float(), how, seen))


def test_a_huge_temperature_range_stays_finite():
    logits = torch.tensor([[50.0, -50.0, 0.0]])
    for temperature in (1e-3, 1e3):
        assert filtered(logits, Sampling(temperature, top_p=0.5)).softmax(-1).isfinite().all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1},
        {"temperature": math.nan},
        {"top_k": -1},
        {"top_p": 0},
        {"top_p": 1.1},
        {"min_p": 2},
        {"repetition_penalty": 0},
    ],
    ids=str,
)
def test_meaningless_settings_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Sampling(**wrong)


# --- generation ----------------------------------------------------------------------------------------

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
