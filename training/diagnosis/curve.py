"""The loss curve of a run as arrays, from the lines of its `metrics.jsonl`, and measurements on it."""

import math
from dataclasses import dataclass

import numpy as np

from model.errors import SproutError
from training.report.lines import finite

MOST_WINDOWS, POINTS_A_WINDOW = 40, 5


@dataclass(frozen=True)
class Curve:
    """Losses of the steps that were taken [n], validations [m], and the steps skipped as not finite."""

    step: np.ndarray  # [n]
    loss: np.ndarray  # [n] nats per token
    rate: np.ndarray  # [n] learning rate
    grad_norm: np.ndarray  # [n] before clipping
    val_step: np.ndarray  # [m]
    val_loss: np.ndarray  # [m]
    skipped: np.ndarray  # steps
    last: int  # step, whether taken or skipped
    tokens: int  # trained tokens up to there
    bits_per_byte: float | None  # at the last validation

    @property
    def start(self) -> float | None:
        """The loss before anything was learned; None where the curve does not go back so far."""
        return float(np.median(self.loss[:3])) if self.step.size and self.step[0] <= 3 else None


def read_curve(lines: list, source="metrics.jsonl") -> Curve:
    """The curve of the lines of a `metrics.jsonl`. Raises `SproutError` for lines that are none of a training run."""
    taken, validations, skipped = [], [], []
    tokens, bits, last = 0, None, 0
    for number, line in enumerate(lines, 1):
        step = line.get("step") if isinstance(line, dict) else None
        if not isinstance(step, int) or not 0 < step < 2**53 or "loss" not in line or "lr" not in line:
            raise SproutError(f"{source}:{number} is no step of a training run, with `step`, `loss` and `lr`")
        if step <= last:
            raise SproutError(f"{source}:{number} is of step {step}, but comes after step {last}")
        last, tokens = step, finite(line.get("tokens")) or tokens
        loss, rate, norm = (finite(line.get(name)) for name in ("loss", "lr", "grad_norm"))
        if loss is not None:
            taken.append((step, loss, max(0.0, rate or 0.0), math.nan if norm is None else norm))
        elif line.get("skipped") not in (None, "overflow"):  # nothing to train; overflows are normal in float16
            skipped.append(step)
        if "val_loss" in line:
            value = finite(line["val_loss"])
            validations.append((step, math.inf if value is None else value))  # null: it was not finite
            bits = finite(line.get("val_bits_per_byte"))
    columns = np.array(taken, float).reshape(-1, 4).T
    measured = np.array(validations, float).reshape(-1, 2).T
    return Curve(*columns, *measured, np.array(skipped, int), last, int(tokens), bits)


def deviation_of(losses: np.ndarray) -> float:
    """The standard deviation s of the noise in losses of neighbouring steps: three quarters of the differences between
    two normal losses are within 1.1503 sqrt(2) s. Neither a trend nor a leap weighs in it."""
    differences = np.abs(np.diff(losses))
    return float(max(np.quantile(differences, 0.75) / 1.627, np.median(differences) / 0.954))


@dataclass(frozen=True)
class Windows:
    """The medians of the curve over k windows of equal numbers of steps, since a loss varies from batch to batch."""

    end: np.ndarray  # the last step of each
    loss: np.ndarray
    rate: np.ndarray
    noise: np.ndarray  # standard deviation of the loss from step to step

    @property
    def peak(self) -> np.ndarray:
        """Whether the learning rate is near its peak in each window: bool [k]."""
        high = self.rate >= 0.9 * self.rate.max()
        if np.count_nonzero(high) < len(high) / 4:  # a cosine has no plateau
            high = self.rate >= 0.5 * self.rate.max()
        return high


def windows_of(curve: Curve) -> Windows:
    """Up to `MOST_WINDOWS` windows of at least `POINTS_A_WINDOW` losses each."""
    count = max(1, min(MOST_WINDOWS, len(curve.loss) // POINTS_A_WINDOW))
    pieces = np.array_split(np.arange(len(curve.loss)), count)

    def medians(values: np.ndarray) -> np.ndarray:
        return np.array([np.median(values[piece]) for piece in pieces])

    noise = [np.median(np.abs(np.diff(curve.loss[piece]))) / 0.954 for piece in pieces]  # differences: sqrt(2) sigma
    return Windows(
        curve.step[[piece[-1] for piece in pieces]],
        medians(curve.loss),
        medians(curve.rate),
        np.array(noise),
    )
