"""Sampling against brute force: what may be drawn, and how often it is."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from model.errors import UsageError
from model.generation import new_generator
from model.sampling import GREEDY, Sampling, draw, filtered, sample


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


@pytest.mark.parametrize(
    "number, probabilities, token",
    [(0.0, [0, 0.5, 0.5], 1), (0.5, [0.25, 0.5, 0.25], 1), (0.75, [0.25, 0.5, 0.25], 2), (1 - 1e-9, [1, 1e-8], 1)],
)
def test_a_token_is_drawn_where_the_number_falls(monkeypatch, number, probabilities, token):
    """Never one of probability 0, and a rare one beside one that is all but certain."""
    monkeypatch.setattr(torch, "rand", lambda *shape, dtype, generator: torch.full(shape, number, dtype=dtype))
    assert draw(torch.tensor([probabilities])).item() == token


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
        {"temperature": 1e-6},
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
