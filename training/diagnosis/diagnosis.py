"""Is this loss normal? A verdict from the curve of a run, and the one thing to try next.

`diagnose` looks for the faults in this order, and the first that it finds is the verdict; docs/diagnose.md explains how
each is decided. A learning rate far from its default is never the only evidence: the curve must show the fault, too.

    diverged -> overfitting, or too little data -> learning rate too high -> too low -> learned something else ->
    still falling -> learned little -> healthy

Losses other than that of next tokens (preferences, rewards, distillation) have no known level and no rates that were
tried, so only what their curve itself shows is judged.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from model.errors import counted
from training.diagnosis.curve import Curve, read_curve, windows_of
from training.diagnosis.expected_loss import expected_bits_per_byte
from training.diagnosis.next_command import next_command
from training.diagnosis.rate_faults import evenly, lower_rate, slow, stood_still, too_high, too_low
from training.diagnosis.rewarded import judged_by_reward
from training.diagnosis.verdict import (
    DIVERGED,
    HEALTHY,
    LEARNED_LITTLE,
    LEARNED_SOMETHING_ELSE,
    OVERFITTING,
    REPEATED,
    STILL_FALLING,
    TOO_EARLY,
    Case,
    Verdict,
)
from training.report.description import FEWEST_JUDGED, MANY_PASSES, Description, few_held_out
from training.report.lines import finite, read_metrics

FEW_TOKENS = 5  # per parameter; with more than 20, a larger network would gain more (arXiv:2203.15556)
PARAMETERS_PER_TOKEN = 20  # more than that, and the text is too little for the network
UNSURE = 0.5  # of ln(vocabulary): a loss above it is as unsure as a choice among the square root of all tokens
SURE = 5.0  # standard errors: a level is above another by more than noise
SURE_OF_THE_BEST = 9.0  # the same of a level above the lowest of up to 40 windows, one of which noise makes low
FEWEST_VALIDATIONS = 4  # to see that they turn, or that training leaves them behind
BY_CHANCE = 0.55  # of pairs preferred: no more than tossing a coin may give
BY_HEART = 0.8  # of the pairs of training preferred, where others are not
ANOTHER_SCALE = 10  # times: no other text is so much harder to a network that has learned nothing yet
REPEATEDLY = 1.5  # passes: what is seen less often cannot be known by heart


def diagnose(lines: list, run: Description | None = None, source: str | Path = "metrics.jsonl") -> Verdict:
    """The verdict on the lines of a `metrics.jsonl`, called `source` in messages. `run`: what is known of the run.

    Raises `SproutError` for lines that are none of a training run.
    """
    known = run or Description()
    words = is_of_words(known)
    if not words:  # neither what guessing costs nor a tried learning rate is known
        known = replace(known, vocab_size=None, default_learning_rate=None)
    curve = read_curve(lines, source)
    whole = curve.tokens * max(1.0, (known.steps or 0) / max(1, curve.last))  # tokens, at the end of the run
    expected = expected_bits_per_byte(known, whole)
    verdict, few = _not_finite(curve, known), few_held_out(known.kind, known.held_out)
    if few:
        lines = [{name: value for name, value in line.items() if not name.startswith("val_")} for line in lines]
        curve = read_curve(lines, source)
    # In what learns from rewards the policy may have no loss for many steps, as in PPO while its critic warms up.
    rewarded = known.kind == "prompt"
    seen, what = (len(lines), "steps") if rewarded else (len(curve.loss), "losses")
    if verdict is None and seen < FEWEST_JUDGED and not (rewarded and known.stopped):
        sentence = f"{what} so far: {seen}, too few to judge"
        ended = known.steps and curve.last >= known.steps
        advice = f"train for {FEWEST_JUDGED} steps or more: more text or --epochs, a larger --max_steps, or a smaller"
        advice = f"{advice} --batch_size" if ended else f"look again after {FEWEST_JUDGED} steps"
        verdict = Verdict(TOO_EARLY, None, sentence, advice)
    if verdict is None and rewarded:
        verdict = judged_by_reward(lines, known, Path(source))
    if verdict is None:
        case = Case(curve, windows_of(curve), known, expected, *_preferred(lines))
        judgements = [_diverged, _memorised, too_high, too_low, _something_else, _still_falling, _learned_little]
        if not words:  # the loss of preferences falls for ever, since the margin may grow without bound
            judgements = [_diverged, _memorised, lambda case: stood_still(case, run), _learned_little]
            if known.kind == "distillation":
                judgements.append(_still_falling)
        verdict = next((found for judge in judgements if (found := judge(case))), None) or _healthy(case, source)
    return replace(verdict, expected_bits_per_byte=expected, unjudged=_unjudged(curve, run, expected, few))


def _unjudged(curve: Curve, run: Description | None, expected: float | None, few: str | None) -> tuple[str, ...]:
    missing = []
    if run is not None and is_of_words(run) and curve.start is not None and curve.val_loss.size:
        if 0 < ANOTHER_SCALE * curve.start < curve.val_loss[0]:
            missing.append(
                f"training begins at {curve.start:.3g} and validation at {curve.val_loss[0]:.3g}: a loss that was"
                " edited has to be the sum over the tokens of a batch, since the step divides by their number, and a"
                " weight that already knows these texts by heart begins so, too"
            )
    if run is None:
        missing.append(
            "there is no run.json, so the default learning rate, the passes over the data and the loss to expect are"
            " not known"
        )
    elif expected is None and run.stage == "pretrain" and run.begins_with == "nothing":
        missing.append("what loss to expect is not known for a run of this size, length and vocabulary")
    if few:
        missing.append(counted(f"what is held out has {few}, too few to judge by, so overfitting cannot be seen"))
    elif not curve.val_loss.size and (run is None or run.kind != "prompt"):
        missing.append("nothing held out was scored, so overfitting cannot be seen")
    return tuple(missing)


# --- diverged ---------------------------------------------------------------------------------------


def _not_finite(curve: Curve, run: Description) -> Verdict | None:
    """Steps were skipped, at the end or throughout the run, or the validation loss is not finite."""
    lost = curve.val_loss.size and not math.isfinite(curve.val_loss[-1])
    at_the_end = len(curve.skipped) >= 2 and curve.skipped[-2] == curve.last - 1
    if not (lost or at_the_end or len(curve.skipped) > max(2, 0.02 * curve.last)):
        return None
    since = int(curve.skipped[0] if curve.skipped.size else curve.val_step[-1])
    if at_the_end:  # the last of them are the ones that count
        gaps = np.flatnonzero(np.diff(curve.skipped) > 1)
        since = int(curve.skipped[gaps[-1] + 1] if gaps.size else curve.skipped[0])
    what = f"{len(curve.skipped)} steps were skipped" if curve.skipped.size else "validation was no number"
    return Verdict(DIVERGED, since, f"the loss is not finite: {what}, from step {since:,} on", lower_rate(run))


def _diverged(case: Case) -> Verdict | None:
    """The loss is as high as that of guessing, or rose far above its minimum, and stayed there.

    Both have to be more than noise of the size of this curve's can give.
    """
    curve, windows, run = case.curve, case.windows, case.run
    guessing = math.log(run.vocab_size) if run.vocab_size else None
    ceiling = math.inf
    if guessing:
        ceiling = 0.97 * guessing
    elif curve.start is not None:
        ceiling = curve.start + min(max(0.25 * curve.start, 4 * case.noise), abs(curve.start))
    if case.level > ceiling and not (slow(case) or evenly(case)):
        below = np.flatnonzero(windows.loss < ceiling)
        since = int(windows.end[below[-1]]) if below.size else 1
        than = f"a network that only guesses has {guessing:.2f}" if guessing else f"it began at {curve.start:.2f}"
        half = len(curve.loss) // 2
        sure = case.level - SURE * case.error_of_median(case.latest) > ceiling
        if not sure and np.median(curve.loss[-half:]) - SURE * case.error_of_median(half) <= ceiling:
            noisy = (
                f"the training loss is {case.level:.2f}, and {than}, but it jumps too much from step to step to judge"
            )
            return Verdict(TOO_EARLY, None, noisy, "look again after more steps, or take more tokens a step")
        return Verdict(DIVERGED, since, f"the training loss is {case.level:.2f}, and {than}", lower_rate(run))
    lowest = int(np.argmin(windows.loss))
    rise = case.level - windows.loss[lowest]
    learned = (curve.start or case.level) - windows.loss[lowest]
    surely = SURE_OF_THE_BEST * case.error_of_median(case.latest, len(curve.loss) // len(windows.loss))
    if rise > max(0.3 * learned, 0.3, 4 * case.noise, surely):
        low = np.flatnonzero(windows.loss < windows.loss[lowest] + rise / 2)
        since = int(windows.end[low[-1]])
        sentence = f"the training loss rose from {windows.loss[lowest]:.2f} to {case.level:.2f} and stayed there"
        return Verdict(DIVERGED, since, sentence, lower_rate(run))
    return None


# --- overfitting, or too little data ----------------------------------------------------------------


def _memorised(case: Case) -> Verdict | None:
    """The training loss falls while the validation loss rises or lags behind: the network memorises the text."""
    curve, run = case.curve, case.run
    since = _validation_turned(case)
    if since is None and not _left_behind(case) and not _known_by_heart(case):
        return None
    passes = f" in {case.passes:.3g} passes over the text" if case.passes else ""
    falling = f"training loss fell to {case.level:.2f}{passes}"
    if since is not None:
        lowest = curve.val_loss.min()
        falling += f", but validation rose from {lowest:.2f} at step {since:,} to {curve.val_loss[-1]:.2f}"
    elif curve.val_loss.size:
        falling += f", but validation only to {curve.val_loss[-1]:.2f}"
    known = run.different_tokens and run.parameters
    tiny = known and PARAMETERS_PER_TOKEN * run.different_tokens < run.parameters
    over_and_over = case.passes is not None and case.passes >= MANY_PASSES
    if since is not None and not tiny and not over_and_over:
        advice = f"train again with --max_steps {since}: the learning rate then comes down before it is too late"
        return Verdict(OVERFITTING, since, falling, advice)
    advice = "train on more different text: the same is being learned by heart"
    if known:
        advice += f" ({run.different_tokens:,} different tokens for {run.parameters:,} parameters)"
    return Verdict(REPEATED, since, falling, advice)


def _validation_turned(case: Case) -> int | None:
    """The step of the lowest validation, if that is long ago, clearly lower than now, and training fell since."""
    curve, windows = case.curve, case.windows
    if curve.val_loss.size < FEWEST_VALIDATIONS:
        return None
    lowest = int(np.argmin(curve.val_loss))
    since = curve.val_step[lowest]
    rise = curve.val_loss[-1] - curve.val_loss[lowest]
    if since > 0.85 * curve.last or rise < max(0.03, 0.02 * curve.val_loss[lowest]):
        return None
    then = np.interp(since, windows.end, windows.loss)
    return int(since) if then - case.level > max(0.03, 0.25 * rise) else None


def _left_behind(case: Case) -> bool:
    """Whether the distance from training to validation grew much, beyond what another kind of text explains."""
    curve, windows = case.curve, case.windows
    if curve.val_loss.size < FEWEST_VALIDATIONS or (case.passes is not None and case.passes < REPEATEDLY):
        return False  # what is seen once cannot be known by heart; validation may be of another kind of text
    distance = curve.val_loss - np.interp(curve.val_step, windows.end, windows.loss)
    grown = curve.val_loss[-1] - case.level - max(0.0, float(distance[: len(distance) // 2 + 1].min()))
    return grown > max(0.2, 0.1 * float(curve.val_loss[-1]))


def _known_by_heart(case: Case) -> bool:
    """With no validation, or too few to see them turn: a loss that no unknown text has, after several passes."""
    held_out = case.curve.val_loss
    if held_out.size >= FEWEST_VALIDATIONS or (case.passes or 0) < 3 or case.level >= 0.5:
        return False
    return bool(held_out[-1] - case.level > max(0.2, case.level)) if held_out.size else is_of_words(case.run)


# --- another task than the one that is measured --------------------------------------------------------


def _something_else(case: Case) -> Verdict | None:
    """Training went far, but what is held out is foretold worse than by guessing, as with a target that is seen."""
    guessing = math.log(case.run.vocab_size) if case.run.vocab_size else math.inf
    if not case.curve.val_loss.size or case.loss < guessing or case.level > UNSURE * guessing:
        return None
    losses = f"the training loss is {case.level:.2f}, but validation is {case.loss:.2f}"
    sentence = f"{losses}, and a network that only guesses has {guessing:.2f}"
    advice = "look for a target that the network can read, or for held-out data of another kind"
    return Verdict(LEARNED_SOMETHING_ELSE, None, sentence, advice)


# --- nothing wrong ----------------------------------------------------------------------------------


def _still_falling(case: Case) -> Verdict | None:
    """The run was cut, or was too short to level off."""
    curve = case.curve
    now, before = _now_and_before(case)
    if before - now < 0.005 * before:
        return None
    if not case.finished:
        sentence = f"{case.result}, still coming down, at a learning rate of {curve.rate[-1]:.2g}"
        advice = "let it go on; if it was stopped, give its command again with --resume"
        return Verdict(STILL_FALLING, None, sentence, advice)
    half = float(np.interp(curve.last / 2, case.windows.end, case.windows.loss))
    if not case.fallen or half - case.level < 0.2 * case.fallen or case.fallen < 8 * case.noise:
        return None
    share = (half - case.level) / case.fallen
    sentence = f"{case.result}; {share:.0%} of all it learned came in the second half, so it ended too early"
    return Verdict(STILL_FALLING, None, sentence, _longer(case))


def _now_and_before(case: Case) -> tuple[float, float]:
    """The validation loss now and a fifth of the run ago; the training loss if there are too few validations."""
    curve, windows = case.curve, case.windows
    steps, losses = (curve.val_step, curve.val_loss) if curve.val_loss.size >= 5 else (windows.end, windows.loss)
    return float(losses[-1]), float(np.interp(0.8 * steps[-1], steps, losses))


def _longer(case: Case) -> str:
    if case.passes is not None and case.passes < 0.9:
        return f"more steps: only {case.passes:.0%} of the data was used"
    return "train on more text, or for more --epochs"


def _learned_little(case: Case) -> Verdict | None:
    """Nothing is wrong with the curve, but what the network learned is of no use yet."""
    run, guessing = case.run, math.log(case.run.vocab_size) if case.run.vocab_size else math.inf
    if case.finished and case.preferred is not None and case.preferred < BY_CHANCE:
        if (case.of_training or 0) > BY_HEART and (case.passes is None or case.passes >= REPEATEDLY):
            sentence = f"{case.result}, but in {case.of_training:.0%} of those that it trains on"
            advice = "train on more different pairs, or for fewer --epochs: these are being learned by heart"
            return Verdict(REPEATED, None, sentence, advice)
        sentence = f"{case.result}, and tossing a coin prefers it in half of them"
        advice = "look at the pairs (python -m dataset.preview FILE); if they are right, train longer"
        return Verdict(LEARNED_LITTLE, None, sentence, advice)
    if run.kind != "chat" or not case.finished or case.loss < UNSURE * guessing:
        return None
    sentence = f"{case.result}, perplexity {math.exp(case.loss):,.0f}: it does not write sentences yet"
    if run.begins_with == "nothing":
        advice = "pretrain first: this network was new, and fine-tuning begins with one that has read much text"
    elif run.begins_with == "imported":
        advice = "look at what is trained (python -m dataset.preview FILE): does the network know this language?"
    else:
        advice = "pretrain longer, on more text: fine-tuning only teaches how to answer"
    return Verdict(LEARNED_LITTLE, None, sentence, advice)


def _preferred(lines: list) -> tuple[float | None, float | None]:
    """The share of pairs whose better answer is preferred, at the last validation, else over the last steps; and the
    share over the last steps."""
    for name in ("rewards/accuracies", "accuracy"):
        held_out = [value for line in lines if (value := finite(line.get(f"val_{name}"))) is not None]
        trained = [value for line in lines if (value := finite(line.get(name))) is not None]
        if held_out or trained:
            of_training = float(np.mean(trained[-max(5, len(trained) // 8) :])) if trained else None
            return held_out[-1] if held_out else of_training, of_training
    return None, None


def _healthy(case: Case, source: str | Path) -> Verdict:
    so_far = "" if case.finished else "so far "
    sentence = f"{so_far}the loss came down as it should: {case.result}"
    return Verdict(HEALTHY, None, sentence, _next_thing(case, Path(source)))


def _next_thing(case: Case, source: Path) -> str:
    """What to do where nothing is wrong."""
    run = case.run
    if not case.finished:
        return "let it go on"
    if case.passes is not None and case.passes < 0.9:
        return _longer(case)
    if run.stage == "pretrain" and run.parameters and case.curve.tokens < FEW_TOKENS * run.parameters:
        tokens = case.curve.tokens / run.parameters
        return f"more text, if you have it: {tokens:.2g} tokens a parameter are few (20 are customary)"
    command = next_command(run.stage, source)
    return f"go on with: {command}" if command else "nothing: use it"


# --- in words ---------------------------------------------------------------------------------------


def describe(verdict: Verdict) -> list[str]:
    """The verdict in two or three lines."""
    since = f" since step {verdict.since_step:,}" if verdict.since_step is not None else ""
    lines = [f"verdict   {verdict.name}{since}: {verdict.sentence}", f"try next  {verdict.advice}"]
    if verdict.unjudged:
        lines.append(f"but       {'; '.join(verdict.unjudged)}")
    return lines


def is_of_words(run: Description) -> bool:
    """Whether the loss is that of next tokens; a preference loss, say, is another thing."""
    return run.kind in (None, "text", "chat")


def closing_words(path: Path, run: Description) -> list[str]:
    """Lines about the curve in `path`, to print at the end of a run; none if it is too short."""
    verdict = diagnose(read_metrics(path), run, path)
    return [] if verdict.name == TOO_EARLY else describe(verdict)
