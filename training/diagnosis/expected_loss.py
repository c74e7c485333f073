"""What a finished pretraining run usually reaches, by its size and its tokens.

    bits per byte = C N^a / D^(b + g ln N)        N: parameters in all, D: trained tokens of the whole run

The constants are the least-squares fit, in logarithms, of `POINTS`: finished runs with the defaults of
`training/engine/plan.py`, muon and the shipped tokenizer on English and Chinese prose, each scored on documents held
out of the same files (`scripts/benchmark/fit_expected_loss.py`). Far from the entropy of the text, loss falls as a
power of the data (Kaplan et al. 2020, https://arxiv.org/abs/2001.08361). The exponent grows with the network: a large
one gains more from more text, and is worse on little. Runs as small as these show no lower bound, so the law is not
used beyond them.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from training.report.description import Description


class Point(NamedTuple):
    """A finished run."""

    parameters: int
    tokens: int
    bits_per_byte: float


class Law(NamedTuple):
    """bits per byte = c parameters^a / tokens^(b + g ln parameters)"""

    c: float
    a: float
    b: float
    g: float

    def bits_per_byte(self, parameters: float, tokens: float) -> float:
        return self.c * parameters**self.a / tokens ** (self.b + self.g * math.log(parameters))


# One seed each, 512 tokens a row, an English and a Chinese file; the one of 2 M tokens has stories, too.
POINTS = (
    Point(508_224, 102_400, 2.7104),  # hidden 64, 2 layers
    Point(508_224, 307_199, 2.4176),
    Point(508_224, 1_023_991, 2.1586),
    Point(1_606_784, 102_400, 2.6550),  # hidden 128, 4 layers
    Point(1_606_784, 307_199, 2.3648),
    Point(1_606_784, 532_477, 2.2321),
    Point(7_934_208, 102_400, 2.7243),  # hidden 256, 8 layers
    Point(7_934_208, 307_199, 2.3537),
    Point(7_935_232, 2_000_312, 1.9515),
    Point(25_829_888, 102_400, 2.8499),  # the default preset
    Point(25_829_888, 4_587_500, 1.7047),
)
LAW = Law(c=1.6709, a=0.1172, b=-0.02666, g=0.0091326)

VOCABULARY = 6400  # size of the shipped tokenizer
MOST_PASSES = 4  # repeated text is worth about as much as new text up to so many passes (arXiv:2305.16264)


def fit(points: Sequence[Point]) -> Law:
    """The law with the least squares of log(bits per byte) over all points."""
    n, d, bits = np.log(np.array(points)).T
    c, a, b, g = np.linalg.lstsq(np.stack([np.ones_like(n), n, -d, -n * d], axis=1), bits, rcond=None)[0]
    return Law(float(np.exp(c)), float(a), float(b), float(g))


def expected_bits_per_byte(run: Description, tokens: float) -> float | None:
    """For a run that ends after `tokens`; None where no point is near: another size, length, tokenizer or stage."""
    new = run.stage == "pretrain" and run.begins_with == "nothing" and run.vocab_size == VOCABULARY
    if not new or not run.parameters or not run.different_tokens:
        return None
    if run.trained_parameters != run.parameters or tokens > MOST_PASSES * run.different_tokens:
        return None
    for value, known in zip((run.parameters, tokens), list(zip(*POINTS))[:2]):
        if not min(known) <= 1.02 * value or not value <= 1.02 * max(known):
            return None
    return LAW.bits_per_byte(run.parameters, tokens)
