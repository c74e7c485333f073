"""Learning rates that are too high or too low: how they show in a curve, and what to try instead.

A rate far from its default is only a suspicion; the curve must confirm it.
"""

import numpy as np

from training.diagnosis.curve import deviation_of
from training.diagnosis.verdict import LEARNED_LITTLE, TOO_HIGH, TOO_LOW, Case, Verdict
from training.report.description import Description

FAR = 3.0  # times the default, or a third of it: such a rate is suspicious
VERY_FAR = 10.0  # times the default: here, weak evidence is enough
SOON = 0.25  # share of the run in which the loss may come down slowly
NOTHING = 0.01  # of the first loss of preferences: one that fell by less has hardly moved


def times_the_default(run: Description) -> float | None:
    """The learning rate of a run over its default; None where one of the two is not known."""
    known = run.learning_rate and run.default_learning_rate
    return run.learning_rate / run.default_learning_rate if known else None


def too_high(case: Case) -> Verdict | None:
    times = times_the_default(case.run)
    strong, weak = _signs_of_a_high_rate(case)
    if times is None or times < FAR:  # the curve is the only evidence, so it must be clear
        found = len(strong) >= 2 and (times is None or times > 1 / FAR)
    else:
        found = strong or (weak and times >= VERY_FAR)
    if not found:
        return None
    sentence = f"{', '.join(strong + weak)}; {case.result}"
    if times is not None:
        sentence += f"; the rate is {_factor(times)} times its default"
    return Verdict(TOO_HIGH, None, sentence, lower_rate(case.run))


def _signs_of_a_high_rate(case: Case) -> tuple[list[str], list[str]]:
    """Signs that the rate is too high: strong ones, and weak ones that may have other causes."""
    curve, windows, start = case.curve, case.windows, case.curve.start
    strong, weak = [], []
    calm = np.median(np.lib.stride_tricks.sliding_window_view(curve.loss[1:], 3), axis=1)
    noise = np.quantile(windows.noise, 0.25)  # the noise of a calm part of the run
    if start is not None and calm.max() > 1.1 * start + max(0.3, min(4 * noise, start)):
        strong.append(f"the loss leapt to {calm.max():.1f} before it fell")
    high = np.flatnonzero(windows.peak)
    if len(high) >= 6:
        end, middle = high[-len(high) // 4 :], high[len(high) * 3 // 8 : len(high) * 5 // 8]
        if _gradients_grew(case, high):
            strong.append("the gradients grew")
        low = np.flatnonzero(windows.rate < 0.35 * windows.rate.max())
        low = low[low > high[-1]]
        if len(low) >= 2 and _more_restless(case, high[len(high) // 2 :], low):
            strong.append("the loss jumped about at the full rate")
        level = np.median(windows.loss[end])
        if start is not None and np.median(windows.loss[middle]) - level < 0.03 * (start - level):
            weak.append("the loss stood still at the full rate")
    if case.above_expectation:
        weak.append("the loss ended far above what is usual")
    return strong, weak


def _steps_of(case: Case, windows: np.ndarray) -> np.ndarray:
    """Which steps of the curve are in the windows from the first to the last of these: bool [n]."""
    step, ends = case.curve.step, case.windows.end
    return (step > (ends[windows[0] - 1] if windows[0] else 0)) & (step <= ends[windows[-1]])


def _gradients_grew(case: Case, high: np.ndarray) -> bool:
    """Whether the gradient norm is half as large again, and more than its noise explains, in the last third of the
    windows `high` as in one of the thirds before."""
    norms = case.curve.grad_norm[_steps_of(case, high)]
    thirds = np.array_split(np.log(norms[norms > 0]), 3)
    if len(thirds[-1]) < 3:
        return False
    error = deviation_of(np.concatenate(thirds)) * np.sqrt(np.pi / len(thirds[-1]))  # of the difference of two medians
    first, second, last = map(np.median, thirds)
    return bool(last - min(first, second) > np.log(1.5) + error)


def _more_restless(case: Case, high: np.ndarray, low: np.ndarray) -> bool:
    """Whether the loss jumps from step to step much more in the windows `high` than in the windows `low`. The noise of
    few steps is not well known, so that of short runs has to differ more."""
    restless, calm = (case.curve.loss[_steps_of(case, windows)] for windows in (high, low))
    sure = 1 + 0.8 * np.sqrt(1 / len(restless) + 1 / len(calm))
    return bool(deviation_of(restless) > 1.6 * sure * deviation_of(calm))


def too_low(case: Case) -> Verdict | None:
    times = times_the_default(case.run)
    if not (slow(case) or (times is None and case.finished and evenly(case))):
        return None
    sentence = f"the loss came down too slowly from {case.curve.start:.2f}; {case.result}"
    if times is not None:
        sentence += f"; the rate is 1/{_factor(1 / times)} of its default"
    return Verdict(TOO_LOW, None, sentence, _rate(case.run, "raise", 3.0))


def stood_still(case: Case, run: Description) -> Verdict | None:
    """Whether a run on preferences ends no lower than it began, by more than its noise hides.

    It begins at the same loss whatever the network knows, since the network is its own reference. Which rate is best is
    not known, so the default of `run` only says what to try.
    """
    start, times = case.curve.start, times_the_default(run)
    if run.kind != "preference" or not case.finished or start is None:
        return None
    nothing, error = NOTHING * start, 2 * case.error_of_median(case.latest)
    if case.fallen + error > nothing:
        return None
    sentence = f"the loss began at {start:.3f} and ends at {case.level:.3f}; {case.result}"
    if times is not None and times < 1 / FAR:
        sentence += f"; the rate is 1/{_factor(1 / times)} of its default"
    rose = case.fallen < -max(nothing, error)
    return Verdict(LEARNED_LITTLE, None, sentence, lower_rate(run) if rose else _rate(run, "raise", 3.0))


def slow(case: Case) -> bool:
    """Whether a rate far below its default shows: the loss hardly fell, or late, or ended far above what is usual."""
    times, fallen = times_the_default(case.run), case.fallen
    if times is None or times > 1 / FAR or fallen is None or case.curve.last < SOON * (case.run.steps or 0):
        return False
    if fallen < -max(0.05 * case.curve.start, 3 * case.noise):
        return False
    return _hardly_fell(case) or _halfway(case) > 0.15 or case.above_expectation


def _hardly_fell(case: Case) -> bool:
    """By validation if there is some: the first few losses of training come from a few rows, and differ much."""
    measured = case.curve.val_loss
    if measured.size >= 4:
        return bool(measured[0] - measured[-1] < 0.02 * measured[0] and case.fallen < 0.15 * case.curve.start)
    return case.fallen < 0.05 * case.curve.start


def evenly(case: Case) -> bool:
    """Whether the loss came down evenly, where others fall steeply at first: evidence without knowing the default."""
    if times_the_default(case.run) is not None or case.fallen is None or case.fallen < 10 * case.noise:
        return False
    return _halfway(case) > 0.35


def _halfway(case: Case) -> float:
    """The share of the summed learning rate at which half of the fall was reached; 0 if the loss fell too little."""
    if case.fallen is None or case.fallen <= 4 * case.noise:
        return 0.0
    above = np.flatnonzero(case.windows.loss > case.curve.start - case.fallen / 2)
    if not above.size:
        return 0.0
    spent = np.cumsum(case.curve.rate)
    share = spent[np.searchsorted(case.curve.step, case.windows.end[above[-1]])] / spent[-1] if spent[-1] > 0 else 0
    return float(share)


def lower_rate(run: Description) -> str:
    return _rate(run, "lower", 1 / 3)


def _rate(run: Description, change: str, factor: float) -> str:
    """Advice on the learning rate: the default, unless the run used it already."""
    times = times_the_default(run)
    if times is not None and (times > 1.5 if factor < 1 else times < 1 / 1.5):
        return f"leave out --learning_rate: the default here is {run.default_learning_rate:g}"
    if run.learning_rate:
        return f"try --learning_rate {run.learning_rate * factor:.2g}"
    return f"{change} --learning_rate, to {'a third' if factor < 1 else 'three times'} of what it was"


def _factor(times: float) -> str:
    return f"{times:,.0f}" if times >= 10 else f"{times:.2g}"
