"""The verdict on curves that are drawn by hand, and on any numbers whatever."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import SproutError
from tests.support import examples
from training.diagnosis.diagnosis import FEWEST_JUDGED, describe, diagnose
from training.diagnosis.verdict import (
    DIVERGED,
    HEALTHY,
    LEARNED_SOMETHING_ELSE,
    OVERFITTING,
    REPEATED,
    STILL_FALLING,
    TOO_EARLY,
    TOO_HIGH,
    TOO_LOW,
)
from training.engine.schedules import learning_rate_factor
from training.report.description import Description

KNOWN = Description(
    stage="pretrain",
    begins_with="nothing",
    parameters=1_000_000,
    trained_parameters=1_000_000,
    vocab_size=6400,
    different_tokens=1_000_000,
    steps=400,
    learning_rate=0.02,
    default_learning_rate=0.02,
)


def typical(share: float) -> float:
    """A training loss by the share of the run that is over: steep, then flat, and faster again in the decay."""
    return 2.5 + 6.2 / (1 + 40 * share) - 0.8 * max(0.0, share - 0.5)


def drawn(loss=typical, validation=None, steps=400, upto=None, noise=0.1, tokens=4096, **more) -> list[dict]:
    """Lines of a run whose training loss is `loss(share of the run)`; validation is the same if it is not given."""
    rng = np.random.default_rng(0)
    lines = []
    for step in range(1, (upto or steps) + 1):
        share = step / steps
        rate = 0.02 * learning_rate_factor(step - 1, steps, steps // 50, "wsd")
        value = loss(share) + noise * rng.standard_normal()
        line = {"step": step, "tokens": tokens * step, "loss": value, "lr": rate, "grad_norm": 0.5} | more
        if step % 20 == 0:
            line["val_loss"] = (validation or loss)(share)
        lines.append(line)
    return lines


def test_faster_again_in_the_decay_is_healthy():
    for facts in (KNOWN, None):
        assert diagnose(drawn(), facts).name == HEALTHY
    assert diagnose(drawn(upto=150), KNOWN).name == STILL_FALLING


@pytest.mark.parametrize("times", [0.1, 0.5, 3, 8])
def test_the_rate_alone_is_no_evidence(times):
    facts = Description(**vars(KNOWN) | {"learning_rate": 0.02 * times})
    assert diagnose(drawn(), facts).name == HEALTHY


@pytest.mark.parametrize("steps", [80, 160])
def test_noise_alone_seldom_makes_a_rate_too_high(steps):
    """The rate is three times its default, where one sign in the curve is enough, and the curve is fine."""
    facts, rng = replace(KNOWN, steps=steps, learning_rate=0.06), np.random.default_rng(0)
    shape, found = drawn(steps=steps, noise=0.0), 0
    for _ in range(60):
        noise, norms = 0.1 * rng.standard_t(3, steps), np.exp(0.5 * rng.standard_normal(steps))
        lines = [
            line | {"loss": line["loss"] + float(more), "grad_norm": float(norm)}
            for line, more, norm in zip(shape, noise, norms)
        ]
        found += diagnose(lines, facts).name == TOO_HIGH
    assert found <= 9, found


def test_a_loss_that_rose_and_stayed_has_diverged():
    risen = drawn(lambda share: typical(share) if share < 0.6 else 6.0)
    verdict = diagnose(risen, KNOWN)
    assert verdict.name == DIVERGED and verdict.since_step == pytest.approx(240, abs=12)


def test_a_spike_that_passes_has_not():
    assert diagnose(drawn(lambda share: typical(share) + 3 * (0.4 < share < 0.42)), KNOWN).name == HEALTHY


@pytest.mark.parametrize("level", [8.76, 9.5, 700.0])
def test_to_guess_for_ever_is_to_have_diverged(level):
    assert diagnose(drawn(lambda share: level), KNOWN).name == DIVERGED
    low = Description(**vars(KNOWN) | {"learning_rate": 0.0002})  # which learns next to nothing, but does no harm
    assert diagnose(drawn(lambda share: 8.76 - 0.1 * share, noise=0.02), low).name == TOO_LOW


def test_a_validation_that_is_no_number_is_no_healthy_run():
    lines = drawn()
    lines[-1]["val_loss"] = None
    assert diagnose(lines, KNOWN).name == DIVERGED


def test_overflows_of_float16_are_expected():
    lines = drawn()
    for line in lines[::7]:
        line |= {"loss": None, "grad_norm": None, "skipped": "overflow"}
    assert diagnose(lines, KNOWN).name == HEALTHY
    for line in lines[::7]:
        line["skipped"] = "non-finite"
    assert diagnose(lines, KNOWN).name == DIVERGED


def turning(share: float) -> float:
    return typical(min(share, 0.4)) + 0.8 * max(0.0, share - 0.4)


def test_validation_that_turns_while_training_falls_is_overfitting():
    verdict = diagnose(drawn(validation=turning), KNOWN)
    assert (verdict.name, verdict.since_step) == (OVERFITTING, 160)
    slightly = drawn(validation=lambda share: typical(min(share, 0.8)) + 0.05 * max(0, share - 0.8))
    assert diagnose(slightly, KNOWN).name == HEALTHY


def test_a_target_that_the_network_can_read_is_something_else_than_what_is_measured():
    leak = drawn(lambda share: 8.8 * math.exp(-60 * share), lambda share: 43.9 + 8.3 * (1 - share), noise=0.001)
    verdict = diagnose(leak, KNOWN)
    assert verdict.name == LEARNED_SOMETHING_ELSE
    assert "0.00, but validation is 43.90, and a network that only guesses has 8.76" in verdict.sentence
    assert diagnose(drawn(validation=lambda share: 8.7), KNOWN).name != LEARNED_SOMETHING_ELSE  # ln 6400 is 8.764
    assert diagnose(drawn(lambda share: typical(share) + 3, lambda share: 9), KNOWN).name != LEARNED_SOMETHING_ELSE


def test_both_rising_is_not_overfitting_but_diverging():
    assert diagnose(drawn(lambda s: typical(s) if s < 0.5 else 6.5, turning), KNOWN).name == DIVERGED


@pytest.mark.parametrize("different, name", [(2_000_000, HEALTHY), (200_000, REPEATED)])
def test_validation_left_behind_counts_where_text_was_repeated(different, name):
    facts = Description(**vars(KNOWN) | {"different_tokens": different})
    left_behind = drawn(lambda share: typical(share) - share, typical)
    assert diagnose(left_behind, facts).name == name  # once through, validation is of another kind of text


def test_several_healthy_epochs():
    facts = Description(**vars(KNOWN) | {"different_tokens": 400_000})
    assert diagnose(drawn(validation=lambda share: typical(share) + 0.1 * share), facts).name == HEALTHY


def test_what_is_known_by_heart_shows_without_validation():
    facts = Description(**vars(KNOWN) | {"different_tokens": 100_000})
    lines = [{k: v for k, v in line.items() if k != "val_loss"} for line in drawn(lambda s: typical(s) - 2.1 * s)]
    verdict = diagnose(lines, facts)
    assert verdict.name == REPEATED
    assert verdict.unjudged[-1] == "nothing held out was scored, so overfitting cannot be seen"
    for at_the_end, name in ((2.0, REPEATED), (0.5, HEALTHY)):  # one validation, as where validating takes long
        lines[-1]["val_loss"] = at_the_end
        assert diagnose(lines, facts).name == name


def test_a_run_that_was_too_short_is_still_falling():
    verdict = diagnose(drawn(lambda share: 8.7 - 3 * share**0.5, steps=60), Description(**vars(KNOWN) | {"steps": 60}))
    assert verdict.name == STILL_FALLING and "25% of the data" in verdict.advice


def test_a_low_rate_is_given_a_quarter_of_the_run():
    facts = Description(**vars(KNOWN) | {"learning_rate": 0.002})
    slowly = drawn(lambda share: 8.7 - 2 * share)
    assert diagnose(slowly[:90], facts).name == STILL_FALLING
    assert diagnose(slowly[:110], facts).name == diagnose(slowly, facts).name == TOO_LOW


def test_the_expected_loss_is_part_of_the_sentence():
    assert "is usual" not in diagnose(drawn(), KNOWN).sentence  # of a loss in nats it would say another unit
    verdict = diagnose(drawn(val_bits_per_byte=2.0), KNOWN)
    assert verdict.expected_bits_per_byte == pytest.approx(2.1, abs=0.2)
    assert f"2.000 bits per byte where about {verdict.expected_bits_per_byte:.2f} is usual" in verdict.sentence
    assert verdict.unjudged == ()
    large = Description(**vars(KNOWN) | {"parameters": 10**9, "trained_parameters": 10**9})
    assert diagnose(drawn(), large).unjudged == (
        "what loss to expect is not known for a run of this size, length and vocabulary",
    )


def test_a_loss_that_was_divided_twice_is_seen_from_its_size():
    """A script was edited, and gives the mean of a batch of 200 tokens where a sum is asked for."""
    verdict = diagnose(drawn(lambda share: typical(share) / 200, validation=typical, noise=0.0005), KNOWN)
    assert verdict.unjudged == (
        "training begins at 0.0383 and validation at 4.57: a loss that was edited has to be the sum over the tokens of"
        " a batch, since the step divides by their number, and a weight that already knows these texts by heart begins"
        " so, too",
    )


def test_far_above_what_is_usual_speaks_against_a_rate_that_is_far_off():
    for times, name in ((1, HEALTHY), (0.2, TOO_LOW), (20, TOO_HIGH)):
        facts = Description(**vars(KNOWN) | {"learning_rate": 0.02 * times})
        assert diagnose(drawn(val_bits_per_byte=3.0), facts).name == name


# --- robust -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [None, 7, "step", [], {}, {"step": 1}, {"step": "1", "loss": 1.0, "lr": 1.0}],
)
def test_lines_of_something_else_are_refused_with_their_number(line):
    with pytest.raises(SproutError, match=r"m.jsonl:2 is no step of a training run"):
        diagnose([{"step": 1, "loss": 2.0, "lr": 0.1}, line], None, "m.jsonl")


def test_steps_go_forward():
    with pytest.raises(SproutError, match="metrics.jsonl:2 is of step 1, but comes after step 1"):
        diagnose(2 * [{"step": 1, "loss": 2.0, "lr": 0.1}])


values = st.one_of(
    st.none(), st.floats(), st.floats(0, 12), st.integers(-5, 10**400), st.text(max_size=3), st.booleans()
)


steps = st.fixed_dictionaries({"loss": values, "lr": values, "grad_norm": values, "val_loss": values})


@given(st.lists(steps, max_size=3) | st.lists(steps, min_size=FEWEST_JUDGED, max_size=90), st.booleans())
def test_any_numbers_have_a_verdict(lines, known):
    lines = [{"step": number} | line for number, line in enumerate(lines, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        verdict = diagnose(lines, KNOWN if known else None)
    text = "\n".join(describe(verdict))
    assert verdict.name and verdict.sentence and verdict.advice and "nan" not in text.split("finite")[0]
    assert verdict.since_step is None or 1 <= verdict.since_step <= len(lines)


def noisy(level, count: int, noise: float, seed: int) -> list[dict]:
    """Lines of a run whose loss is `level(share of the run)` and noise; nothing was held out."""
    rng, lines = np.random.default_rng(seed), []
    for step in range(1, count + 1):
        loss = level(math.log1p(step) / math.log1p(count)) + noise * rng.standard_normal()
        rate = learning_rate_factor(step - 1, count, max(1, count // 50), "wsd")
        lines.append({"step": step, "loss": loss, "lr": rate, "grad_norm": 1.0})
    return lines


def facts_of(count: int, guessing: float | None = None) -> Description:
    facts = Description(steps=count, learning_rate=1.0, default_learning_rate=1.0)
    return replace(facts, vocab_size=round(math.exp(guessing))) if guessing else facts


@given(st.integers(20, 200), st.floats(0.01, 0.5), st.floats(3, 10), st.floats(0.05, 0.9), st.integers(0, 2**31))
def test_a_curve_that_only_falls_is_never_at_fault(count, noise, start, fallen, seed):
    lines = noisy(lambda share: start * (1 - fallen * share), count, noise, seed)
    assert diagnose(lines, facts_of(count)).name in (HEALTHY, STILL_FALLING)


@pytest.mark.parametrize("seed", [4137, 5617, 6138, 6720])
def test_noise_as_large_as_the_fall_is_no_divergence(seed):
    """Of 20 steps; these seeds have ends that lie by chance far above what came before."""
    lines = noisy(lambda share: 5 - 0.4 * share, 20, 0.5, seed)
    for facts in (facts_of(20), None):
        assert diagnose(lines, facts).name in (HEALTHY, STILL_FALLING)


@settings(max_examples=examples(60))
@given(st.integers(20, 60), st.floats(0.05, 1), st.floats(0, 0.5), st.integers(0, 2**31))
def test_noise_around_a_level_is_no_divergence(count, noise, fall, seed):
    lines = noisy(lambda share: 8 - fall * share, count, noise, seed)
    assert diagnose(lines).name != DIVERGED and diagnose(lines, facts_of(count, 8.5)).name != DIVERGED


@settings(max_examples=examples(60))
@given(st.integers(24, 200), st.floats(0.01, 0.12), st.integers(0, 2**31))
def test_a_rise_far_above_the_noise_is_one(count, noise, seed):
    """The loss falls by 3 in the first half of the steps, and has risen by as much for the last quarter of them."""
    half = math.log1p(count / 2) / math.log1p(count)

    def risen(share: float) -> float:
        step = math.expm1(share * math.log1p(count))
        return 8 - 3 * share / half if share < half else 5 + 3 * min(1.0, (step / count - 0.5) / 0.2)

    lines = noisy(risen, count, noise, seed)
    for facts in (facts_of(count), facts_of(count, 9.5), None):
        assert diagnose(lines, facts).name == DIVERGED


def test_a_loss_that_cannot_be_told_from_guessing_yet_is_not_praised():
    lines = noisy(lambda share: 8.76, 20, 0.5, seed=0)
    assert diagnose(lines, facts_of(20, 8.76)).name == TOO_EARLY
    assert diagnose(noisy(lambda share: 8.76, 20, 0.05, seed=0), facts_of(20, 8.76)).name == DIVERGED
