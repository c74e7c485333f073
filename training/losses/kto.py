"""The loss of single answers that are each good or bad: Kahneman-Tversky optimisation, https://arxiv.org/abs/2402.01306.

With r the log-ratio log p_policy - log p_reference of an answer, summed over its tokens, and z a reference point:

    good  desirable_weight   * (1 - sigmoid(beta (r - z)))
    bad   undesirable_weight * (1 - sigmoid(beta (z - r)))
    z     max(0, mean of r over answers that stand behind other prompts than their own)

z estimates how far the policy has gone from the reference in general (their KL divergence), and has no gradient: a good
answer has to gain more than that, a bad one less.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Answers:
    """Answers [R]; log-probabilities are sums over their tokens, in nats."""

    policy: Tensor  # log p
    reference: Tensor  # log p under the reference
    good: Tensor  # bool
    point: Tensor | float = 0.0  # z, one number for all of them

    @property
    def ratio(self) -> Tensor:
        return self.policy - self.reference


def kto(answers: Answers, beta: float, desirable_weight: float = 1.0, undesirable_weight: float = 1.0) -> Tensor:
    """The loss of each answer [R]."""
    gain = beta * (answers.ratio - answers.point)
    # 1 - sigmoid(x) = sigmoid(-x), which loses no digits
    return torch.where(answers.good, desirable_weight * torch.sigmoid(-gain), undesirable_weight * torch.sigmoid(gain))


def reference_point(total: Tensor, count: Tensor) -> Tensor:
    """z [], from the sum of `count` log-ratios of answers behind other prompts; 0 if there are none."""
    return (total / count.clamp(min=1)).clamp(min=0).detach()


# Eq. 8 of the paper: weight x number of good answers should be 1 to 4/3 times weight x number of bad ones.
MOST_BALANCED = 4 / 3


def balanced_weights(good: float, bad: float) -> tuple[float, float]:
    """Weights for so many good and bad answers: 1 if they are balanced, else more for the kind that has fewer."""
    if not good or not bad or 1 <= good / bad <= MOST_BALANCED:
        return 1.0, 1.0
    return (bad / good, 1.0) if good < bad else (1.0, good / bad)
