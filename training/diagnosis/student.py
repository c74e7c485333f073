"""Student's t distribution (1908, https://doi.org/10.1093/biomet/6.1.1): how far apart chance puts two means."""

import math

HALVINGS = 60  # of the quarter circle that an angle is looked for in


def point_of(beyond: float, freedom: int) -> float:
    """The t that chance exceeds, up or down, in a share `beyond` of all cases, with so many degrees of freedom."""
    low, high = 0.0, math.pi / 2
    for _ in range(HALVINGS):
        angle = (low + high) / 2
        low, high = (angle, high) if 1 - _within(angle, freedom) > beyond else (low, angle)
    return math.sqrt(freedom) * math.tan(low)


def _within(angle: float, freedom: int) -> float:
    """P(|T| < sqrt(freedom) tan(angle)), a finite sum for whole degrees of freedom (Abramowitz and Stegun 1964, 26.7.3
    and 26.7.4)."""
    odd, cosine = freedom % 2, math.cos(angle)
    term, total = (cosine if odd else 1.0), 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= (power + 1) / (power + 2) * cosine**2
    total *= math.sin(angle)
    return (angle + total) * 2 / math.pi if odd else total
