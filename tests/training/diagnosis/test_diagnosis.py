"""Is this loss normal? Verdicts on real runs with faults, with two seeds each, and on what a run learned from."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.training.diagnosis.test_drawn_curves import KNOWN, drawn
from tests.training.faulty_runs import NOT_FINITE, RUNS, FaultyRuns
from training.diagnosis.diagnosis import FEWEST_JUDGED, closing_words, diagnose
from training.diagnosis.known import read_description
from training.diagnosis.rate_faults import times_the_default
from training.diagnosis.verdict import (
    DIVERGED,
    HEALTHY,
    LEARNED_LITTLE,
    OVERFITTING,
    REPEATED,
    STILL_FALLING,
    STOPPED,
    TOO_EARLY,
    TOO_HIGH,
    TOO_LOW,
    Verdict,
)
from training.report.description import Description
from training.report.lines import read_metrics

VERDICTS = {
    "healthy": HEALTHY,
    "cut": STILL_FALLING,
    "overfitting": OVERFITTING,
    "copies": REPEATED,
    "tiny": REPEATED,
    "too high": TOO_HIGH,
    "too low": TOO_LOW,
    "diverged": DIVERGED,
    "not finite": DIVERGED,
    "once not finite": HEALTHY,
    "adamw": HEALTHY,
    "adamw, too high": TOO_HIGH,
    "adamw, too low": TOO_LOW,
    "fine-tuning": HEALTHY,
    "fine-tuning, too high": TOO_HIGH,
    "fine-tuning, too low": TOO_LOW,
}
# What cannot be told for sure without the facts: little data from many passes, a wrong rate from a task that is hard.
UNSURE = ("copies", "too high", "fine-tuning, too high", "adamw, too low")
FROM_THE_CURVE_ALONE = VERDICTS | {"tiny": OVERFITTING, "fine-tuning, too low": HEALTHY} | dict.fromkeys(UNSURE)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> FaultyRuns:
    return FaultyRuns.create(tmp_path_factory.mktemp("faulty runs"))


@pytest.fixture
def judged(runs):
    def judge(name: str, seed: int, known: bool = True) -> Verdict:
        logs = runs.logs(name, seed)
        return diagnose(read_metrics(logs / "metrics.jsonl"), read_description(logs) if known else None)

    return judge


# --- real runs --------------------------------------------------------------------------------------


def test_every_run_has_its_verdict():
    assert VERDICTS.keys() == RUNS.keys()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", RUNS)
def test_the_verdict_on_a_real_run(judged, name, seed):
    verdict = judged(name, seed)
    assert verdict.name == VERDICTS[name], verdict
    assert verdict.sentence and verdict.advice
    alone = judged(name, seed, known=False)
    assert alone.name == (FROM_THE_CURVE_ALONE[name] or alone.name), alone
    assert "run.json" in alone.unjudged[0]


def test_where_it_began_and_what_to_do(judged):
    overfitting = judged("overfitting", 0)
    assert 30 < overfitting.since_step < 130 and f"--max_steps {overfitting.since_step}" in overfitting.advice
    assert judged("not finite", 0).since_step == NOT_FINITE["not finite"][0]
    assert "1 skipped as not finite" in judged("once not finite", 0).sentence
    assert "default here is 0.0071" in judged("too high", 0).advice
    assert "default here is 0.00071" in judged("fine-tuning, too low", 0).advice
    assert "--resume" in judged("cut", 0).advice
    assert "different tokens" in judged("tiny", 0).advice


def test_a_run_says_it_at_its_end(runs):
    logs = runs.logs("healthy", 0)
    *before, page, last = runs.said["healthy", 0].splitlines()
    words = closing_words(logs / "metrics.jsonl", read_description(logs))
    assert page.startswith("report    python ") and last.startswith("done: ") and before[-len(words) :] == words
    assert len(words) <= 3 and words[0].startswith("verdict   healthy: the loss came down as it should: validation")


def pairs(accuracy, loss=lambda share: 0.69 - 0.3 * share, **more) -> list[dict]:
    """Lines of a run on preferences."""
    return drawn(loss, noise=0.02, **{"rewards/accuracies": accuracy, "val_rewards/accuracies": accuracy}, **more)


def rewarded(reward, steps=80, warm_up=0, **more) -> list[dict]:
    """Lines of a run of GRPO, or of PPO with a warm-up of its critic, in which the policy learns nothing."""
    rng = np.random.default_rng(0)
    lines = drawn(lambda share: 0.0, steps=steps, noise=0.02)
    for number, line in enumerate(lines):
        line |= {"reward": reward(number / steps) + 0.1 * rng.standard_normal()} | more
        if number < warm_up:
            line["loss"] = line["grad_norm"] = None
    return lines


def test_what_learns_from_rewards_is_judged_by_them():
    """The loss is near zero and goes up and down; it says nothing."""
    facts = Description(stage="grpo", kind="prompt", vocab_size=6400, steps=80, learning_rate=1e-4)
    verdict = diagnose(rewarded(lambda share: 0.4 + 0.4 * share), facts)
    assert verdict.name == HEALTHY and "the reward rose from 0." in verdict.sentence and not verdict.unjudged
    assert diagnose(rewarded(lambda share: 0.5), facts).name == LEARNED_LITTLE
    assert diagnose(rewarded(lambda share: 0.8 - 0.5 * share), facts).name == DIVERGED
    warm = rewarded(lambda share: 0.4 + 0.4 * share, warm_up=10)
    assert diagnose(warm, facts).name == HEALTHY  # these steps were not skipped
    warm[-1] |= {"loss": None, "skipped": "non-finite"}
    warm[-2] |= {"loss": None, "skipped": "non-finite"}
    assert diagnose(warm, facts).name == DIVERGED


def test_a_reward_that_rose_and_fell_again_has_collapsed():
    facts = Description(stage="grpo", kind="prompt", steps=80, learning_rate=1e-4)
    collapsed = diagnose(rewarded(lambda share: 0.2 + share if share < 0.6 else 0.35), facts)
    assert collapsed.name == DIVERGED and 40 <= collapsed.since_step <= 50 and "rose from 0.2" in collapsed.sentence
    a_little = diagnose(rewarded(lambda share: 0.2 + share if share < 0.6 else 0.65), facts)
    assert a_little.name == HEALTHY  # most of the rise is left


def test_where_all_answers_have_the_same_reward_no_larger_rate_helps():
    facts = Description(stage="grpo", kind="prompt", steps=80, learning_rate=1e-4)
    lines = [line | {"reward": 0.0, "frac_reward_zero_std": 1.0} for line in rewarded(lambda share: 0.0)]
    verdict = diagnose(lines, facts)
    assert verdict.name == LEARNED_LITTLE and "in 100% of the last groups" in verdict.sentence
    assert "prompts" in verdict.advice and "learning_rate" not in verdict.advice


def test_a_run_that_a_rule_stopped_is_not_healthy():
    """However much its reward rose: it was stopped as the policy exploits its reward, or has collapsed."""
    why = "the KL of an answer to the reference is 16.0 nats, more than --stop_kl 15"
    facts = Description(stage="ppo", kind="prompt", steps=200, learning_rate=1e-4, stopped=why)
    for steps in (10, 80):
        verdict = diagnose(rewarded(lambda share: 0.2 + share, steps=steps), facts)
        assert verdict.name == STOPPED and verdict.sentence == f"{why} at step {steps} of 200"
    few = rewarded(lambda share: 0.2, steps=2)  # no other kind of run has such rules, whatever a run.json says
    assert diagnose(few, replace(facts, stage="pretrain", kind="text")).name == TOO_EARLY


@pytest.mark.parametrize("rises", [0.0, 0.4])
def test_answers_that_become_one_phrase_are_said(rises):
    facts = Description(stage="ppo", kind="prompt", steps=80, learning_rate=1e-4)
    lines = rewarded(lambda share: 0.4 + rises * share)
    for ends, said in ((0.01, True), (0.3, False)):
        falling = [line | {"distinct": max(ends, 0.9 - number / 60)} for number, line in enumerate(lines)]
        verdict = diagnose(falling, facts)
        assert (
            "an answer to each prompt, 1% are distinct, where 82% were at the beginning" in verdict.sentence
        ) == said
        assert "samples.jsonl" in verdict.advice or not said
    always = [line | {"distinct": 0.03} for line in lines]  # such as yes and no
    assert "distinct" not in diagnose(always, facts).sentence


def test_a_short_run_of_rewards_counts_its_steps_and_not_its_losses():
    """While its critic warms up, the policy has none."""
    facts = Description(stage="ppo", kind="prompt", steps=24, learning_rate=1e-4)
    few = rewarded(lambda share: 0.5, steps=12, warm_up=10)
    assert diagnose(few, facts).sentence == "steps so far: 12, too few to judge"
    enough = rewarded(lambda share: 0.4 + 0.4 * share, steps=24, warm_up=10)
    assert diagnose(enough, facts).name == HEALTHY


@pytest.mark.parametrize("steps", [20, 80])
def test_noise_alone_is_seldom_judged(steps):
    """Chance alone rises in 1 of 40 runs, and falls in 1 of 200."""
    rng, facts = np.random.default_rng(1), Description(stage="grpo", kind="prompt", steps=steps, learning_rate=1e-4)
    shape = drawn(lambda share: 0.0, steps=steps, noise=0.02)
    runs = [[line | {"reward": value} for line, value in zip(shape, rng.standard_normal(steps))] for _ in range(1500)]
    names = Counter(diagnose(run, facts).name for run in runs)
    assert names[HEALTHY] / 1500 == pytest.approx(1 / 40, abs=0.011)
    assert names[DIVERGED] / 1500 == pytest.approx(1 / 200, abs=0.005)


@pytest.mark.parametrize(
    "rate, ends, advice",
    [
        (1e-8, "; the rate is 1/10,000 of its default", "leave out --learning_rate: the default here is 0.0001"),
        (1e-4, ", the better answer preferred in 80% of the pairs", "try --learning_rate 0.0003"),
    ],
)
def test_preferences_whose_loss_stays_where_it_began_have_learned_little(rate, ends, advice):
    """However many pairs are preferred by a hair: DPO begins at ln 2, and a rate of 1e-8 leaves it there."""
    facts = Description(stage="dpo", kind="preference", steps=400, learning_rate=rate, default_learning_rate=1e-4)
    stuck = drawn(lambda share: 0.6931 - 0.0005 * share, noise=0.0005, **{"val_rewards/accuracies": 0.8})
    verdict = diagnose(stuck, facts)
    assert verdict.name == LEARNED_LITTLE and "began at 0.693 and ends at 0.693;" in verdict.sentence
    assert verdict.sentence.endswith(ends) and verdict.advice == advice
    assert diagnose(stuck[:200], facts).name == HEALTHY  # not yet at its end
    hidden = drawn(lambda share: 0.6931 - 0.0005 * share, noise=0.05, **{"val_rewards/accuracies": 0.8})
    assert diagnose(hidden, facts).name == HEALTHY  # by its noise: it may have fallen by more
    slowly = drawn(lambda share: 0.6931 - 0.02 * share, noise=0.0005, **{"val_rewards/accuracies": 0.8})
    assert diagnose(slowly, facts).name == HEALTHY


def test_preferences_whose_loss_rose_have_learned_little():
    facts = Description(stage="dpo", kind="preference", steps=400, learning_rate=1e-4, default_learning_rate=1e-4)
    higher = drawn(lambda share: 0.6931 + 0.1 * share, noise=0.01, **{"val_rewards/accuracies": 0.6})
    verdict = diagnose(higher, facts)
    assert verdict.name == LEARNED_LITTLE and verdict.advice == "try --learning_rate 3.3e-05"


def test_preferences_and_rewards_have_verdicts_too():
    facts = Description(stage="dpo", kind="preference", vocab_size=6400, steps=400, learning_rate=1e-4)
    facts = Description(**vars(facts) | {"default_learning_rate": 1e-5})  # far off, but these rates are not judged
    verdict = diagnose(pairs(0.8), facts)
    assert verdict.name == HEALTHY and "the better answer preferred in 80% of the pairs" in verdict.sentence
    verdict = diagnose(pairs(0.51), facts)
    assert verdict.name == LEARNED_LITTLE and "tossing a coin" in verdict.sentence
    by_heart = pairs(1.0)[:39] + [line | {"val_rewards/accuracies": 0.53} for line in pairs(1.0)[39:]]
    known = Description(**vars(facts) | {"different_tokens": 4096 * 100})
    verdict = diagnose(by_heart, known)
    assert verdict.name == REPEATED and "in 53% of the pairs, but in 100%" in verdict.sentence
    assert "train longer" not in verdict.advice
    once = Description(**vars(facts) | {"different_tokens": 4096 * 400})
    assert diagnose(by_heart, once).name == LEARNED_LITTLE  # no pair was seen twice
    assert diagnose(pairs(0.8, lambda share: 0.69 + 1.5 * share), facts).name == DIVERGED
    turned = pairs(0.8, validation=lambda share: 0.69 - 0.3 * min(share, 0.3) + 0.4 * max(0.0, share - 0.3))
    assert diagnose(turned, facts).name == OVERFITTING
    line = {"val_accuracy": 0.8, "accuracy": 0.5}
    assert "preferred in 80%" in diagnose(drawn(upto=150, **line), Description(kind="reward", steps=400)).sentence


@pytest.mark.parametrize("count, name", [(20, OVERFITTING), (1, HEALTHY)])
def test_a_held_out_pair_is_too_little_to_judge_by(count, name):
    facts = Description(stage="dpo", kind="preference", steps=400, held_out=count)
    turned = pairs(0.8, validation=lambda share: 0.69 - 0.3 * min(share, 0.3) + 0.4 * max(0.0, share - 0.3))
    verdict = diagnose(turned, facts)
    assert verdict.name == name
    said = "what is held out has 1 record, too few to judge by, so overfitting cannot be seen"
    assert (said in verdict.unjudged) == (name == HEALTHY)


def test_a_few_held_out_words_are_too_little_to_judge_by():
    turned = drawn(validation=lambda share: 5.0 - 2 * min(share, 0.3) + 4 * max(0.0, share - 0.3))
    assert diagnose(turned, KNOWN).name == OVERFITTING
    verdict = diagnose(turned, replace(KNOWN, kind="text", held_out=199))
    assert verdict.name == HEALTHY and "validation" not in verdict.sentence and "199 tokens" in verdict.unjudged[0]
    assert "held out are" not in str(diagnose(turned[:5], KNOWN).unjudged)  # few losses are another thing


def test_a_student_still_falls():
    facts = Description(stage="distill", kind="distillation", vocab_size=6400, steps=400)
    assert diagnose(drawn(lambda share: 5.0 - 3 * share), facts).name == STILL_FALLING
    assert diagnose(drawn(), facts).name == HEALTHY


def test_a_student_that_is_its_teacher_has_a_verdict():
    facts = Description(stage="distill", kind="distillation", vocab_size=6400, steps=400)
    assert diagnose([line | {"loss": 0.0, "val_loss": 0.0} for line in drawn()], facts).name == HEALTHY


@pytest.mark.parametrize("begins, advice", [("pretrain", "pretrain longer"), ("nothing", "pretrain first")])
def test_fine_tuning_that_ends_without_sentences_is_not_healthy(begins, advice):
    facts = Description(**vars(KNOWN) | {"kind": "chat", "stage": "full_sft", "begins_with": begins})
    verdict = diagnose(drawn(lambda share: 6.3 + 2 / (1 + 40 * share)), facts)
    assert verdict.name == LEARNED_LITTLE and "perplexity 572" in verdict.sentence and advice in verdict.advice
    assert diagnose(drawn(), facts).name == HEALTHY


def test_a_run_of_a_few_steps_is_not_judged(runs, tmp_path):
    logs = runs.logs("healthy", 0)
    lines = (logs / "metrics.jsonl").read_text().splitlines(keepends=True)
    for count, judged in ((FEWEST_JUDGED - 1, False), (FEWEST_JUDGED, True)):
        (tmp_path / "metrics.jsonl").write_text("".join(lines[:count]))
        assert bool(closing_words(tmp_path / "metrics.jsonl", Description())) == judged
    assert diagnose(read_metrics(logs / "metrics.jsonl")[: FEWEST_JUDGED - 1]).name == TOO_EARLY


@pytest.mark.parametrize("seed", [0, 1])
def test_a_healthy_run_is_healthy_or_still_falling_all_along(runs, seed):
    logs = runs.logs("healthy", seed)
    lines = read_metrics(logs / "metrics.jsonl")
    for count in range(FEWEST_JUDGED, len(lines) + 1):
        for facts in (read_description(logs), None):
            assert diagnose(lines[:count], facts).name in (HEALTHY, STILL_FALLING), count


def test_times_the_default_needs_both():
    assert times_the_default(Description(learning_rate=1.0)) is None
    assert times_the_default(Description(learning_rate=1.0, default_learning_rate=0.0)) is None
    assert times_the_default(Description(learning_rate=1.0, default_learning_rate=0.5)) == 2.0
