"""Scores with their 95 % confidence intervals, and whether chance alone could explain them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Z = 1.959964  # 97.5 % of a normal distribution lie below


@dataclass(frozen=True)
class Score:
    """A metric of a task. low, high: its 95 % confidence interval; None where there is none.

    chance: what guessing would score on average; None where guessing scores nothing.
    """

    metric: str
    items: int
    value: float
    low: float | None = None
    high: float | None = None
    chance: float | None = None

    @property
    def is_chance(self) -> bool:
        """Whether guessing could have scored this."""
        return self.chance is not None and self.low <= self.chance <= self.high


def wilson(right: int, items: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927, doi 10.1080/01621459.1927.10502953); never outside 0 to 1, and of
    some width even where all or none are right, which p ± 1.96 sqrt(p (1 - p) / n) is not."""
    share, spread = right / items, Z * Z / items
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / items + spread / (4 * items)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def share(metric: str, right: Sequence[bool], chance: float | None = None) -> Score:
    """The share of items that are right."""
    return Score(metric, len(right), sum(right) / len(right), *wilson(sum(right), len(right)), chance)


def chosen(likelihoods: Sequence[float], choices: Sequence[str], metric: str) -> int:
    """Which choice a metric takes: the most probable as a whole (acc), by character (acc_norm), by byte of UTF-8
    (acc_bytes); the first of equal ones."""
    size = {"acc": lambda choice: 1, "acc_norm": len, "acc_bytes": lambda choice: len(choice.encode("utf-8"))}[metric]
    rated = [nats / size(choice) for nats, choice in zip(likelihoods, choices, strict=True)]
    return rated.index(max(rated))


def ratio(nats: Sequence[float], units: Sequence[int]) -> tuple[float, float | None]:
    """Sum by sum, and the standard error that differences between documents give it (linearised); None for one."""
    value, n = sum(nats) / sum(units), len(nats)
    if n < 2:
        return value, None
    squares = sum((x - value * y) ** 2 for x, y in zip(nats, units, strict=True))
    return value, math.sqrt(squares * n / (n - 1)) / sum(units)


def passages(nats: Sequence[float], tokens: Sequence[int], sizes: Sequence[int]) -> list[Score]:
    """Perplexity per token and bits per byte of documents. nats: -log p; sizes: bytes of UTF-8."""
    return [
        _score_of_ratio("perplexity", nats, tokens, _exponential),
        _score_of_ratio("bits_per_byte", nats, sizes, lambda nats_per_byte: nats_per_byte * (1 / math.log(2))),
    ]


def _score_of_ratio(
    metric: str, nats: Sequence[float], units: Sequence[int], change: Callable[[float], float]
) -> Score:
    """A score made of nats per unit by `change`, which grows with them, and so takes an interval to an interval; it
    begins at no less than 0 nats, as no text is more than certain."""
    value, error = ratio(nats, units)
    low = high = None
    if error is not None:
        low = change(max(0.0, value - Z * error))
        high = change(value + Z * error)
    return Score(metric, len(nats), change(value), low, high)


def _exponential(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf
