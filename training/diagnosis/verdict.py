"""The verdict on a run's curve, and the evidence for it."""

from dataclasses import dataclass

import numpy as np

from training.diagnosis.curve import Curve, Windows, deviation_of
from training.report.description import Description

HEALTHY = "healthy"
STILL_FALLING = "still falling"
OVERFITTING = "overfitting"
REPEATED = "data repeated or too small"
TOO_HIGH = "learning rate too high"
TOO_LOW = "learning rate too low"
DIVERGED = "diverged"
STOPPED = "stopped early"
LEARNED_LITTLE = "learned little"
LEARNED_SOMETHING_ELSE = "learned something else"
TOO_EARLY = "too early to tell"

MUCH = 1.25  # times the expected bits per byte: more than text of another kind explains


@dataclass(frozen=True)
class Verdict:
    """What the curve shows; `since_step` is where the fault begins, if that is known."""

    name: str
    since_step: int | None
    sentence: str
    advice: str
    expected_bits_per_byte: float | None = None  # expected at the end of the run
    unjudged: tuple[str, ...] = ()  # what could not be looked at, and why


@dataclass(frozen=True)
class Case:
    """All evidence that a judgement may use."""

    curve: Curve
    windows: Windows
    run: Description
    expected: float | None  # bits per byte of the finished run
    preferred: float | None = None  # share of pairs whose better answer is preferred; of held-out pairs if possible
    of_training: float | None = None  # the same share of the pairs that were trained on last

    @property
    def loss(self) -> float:
        """The last validation loss; the training loss if there is no validation."""
        return float(self.curve.val_loss[-1]) if self.curve.val_loss.size else self.level

    @property
    def level(self) -> float:
        """The training loss over the last eighth of the run."""
        return float(np.median(self.curve.loss[-self.latest :]))

    @property
    def latest(self) -> int:
        """How many losses that is."""
        return max(5, len(self.curve.loss) // 8)

    @property
    def noise(self) -> float:
        """By how much the training loss differs from step to step (standard deviation)."""
        return float(np.median(self.windows.noise))

    def error_of_median(self, *counts: int) -> float:
        """The standard error that noise gives to the median of so many losses; of two counts: to the difference.

        A median of n losses with the standard deviation s has the standard error s sqrt(pi / 2n), where they are normal
        and many. s is taken from all steps; in a short run it is surer than `noise`.
        """
        return float(deviation_of(self.curve.loss) * np.sqrt(np.pi / 2 * sum(1 / count for count in counts)))

    @property
    def finished(self) -> bool:
        """Whether the run reached its planned end, judged by the learning rate if the plan is unknown."""
        if self.run.steps:
            return self.curve.last >= self.run.steps
        return bool(self.curve.rate[-1] <= 0.2 * self.curve.rate.max())

    @property
    def passes(self) -> float | None:
        """The number of passes over the text."""
        return self.curve.tokens / self.run.different_tokens if self.run.different_tokens else None

    @property
    def fallen(self) -> float | None:
        """How far the training loss came down in all."""
        return None if self.curve.start is None else self.curve.start - self.level

    @property
    def result(self) -> str:
        """Where the run stands, in words."""
        of = f" of {self.run.steps:,}" if self.run.steps else ""
        where = f"at step {self.curve.last:,}{of}"
        if self.curve.skipped.size:
            where += f" ({self.curve.skipped.size} skipped as not finite)"
        if not self.curve.val_loss.size:
            return f"training loss {self.level:.3f} {where}"
        result = f"validation loss {self.curve.val_loss[-1]:.3f} {where}"
        if self.preferred is not None:
            result += f", the better answer preferred in {self.preferred:.0%} of the pairs"
        if self.curve.bits_per_byte:
            result += f", {self.curve.bits_per_byte:.3f} bits per byte"
        if self.curve.bits_per_byte and self.expected:
            result += f" where about {self.expected:.2f} is usual{'' if self.finished else ' at the end'}"
        return result

    @property
    def above_expectation(self) -> bool:
        """Whether the finished run has far more bits per byte than is usual."""
        bits = self.curve.bits_per_byte
        return bool(self.finished and bits and self.expected and bits > MUCH * self.expected)
