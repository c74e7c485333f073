"""Whether a difference between two settings is more than what seeds make: pure functions.

Every setting was trained with one seed or several. What differs between seeds of one setting is chance; its variance is
pooled over the settings, and the difference of two means is compared with it by Student's t distribution.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.diagnosis.student import point_of

BEYOND = 0.05  # a difference that chance makes in so small a share of all cases counts as more than chance


@dataclass(frozen=True)
class Difference:
    """The mean of the second setting minus that of the first, and what chance explains of it in 19 of 20 cases."""

    difference: float
    by_chance: float | None  # None: no setting has two seeds, so nothing is known of chance

    @property
    def is_more(self) -> bool | None:
        return None if self.by_chance is None else abs(self.difference) > self.by_chance


def pooled_deviation(settings: Mapping[str, Sequence[float]]) -> tuple[float, int] | None:
    """The standard deviation between seeds, and its degrees of freedom; None where no setting has two seeds."""
    squares, freedom = 0.0, 0
    for values in settings.values():
        mean = sum(values) / len(values)
        squares += sum((value - mean) ** 2 for value in values)
        freedom += len(values) - 1
    return (math.sqrt(squares / freedom), freedom) if freedom else None


def compare(settings: Mapping[str, Sequence[float]], first: str, second: str) -> Difference:
    """settings: the end losses of the seeds of each setting, none of them empty."""
    a, b = settings[first], settings[second]
    difference = sum(b) / len(b) - sum(a) / len(a)
    spread = pooled_deviation(settings)
    if spread is None:
        return Difference(difference, None)
    deviation, freedom = spread
    return Difference(difference, point_of(BEYOND, freedom) * deviation * math.sqrt(1 / len(a) + 1 / len(b)))
