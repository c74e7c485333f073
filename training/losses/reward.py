"""Losses of the reward model: from rewards to a loss of each pair, or of each scored answer.

With c and r the rewards of the chosen and of the rejected answer of a pair:

    bt       -log sigmoid(c - r - margin) + center * (c + r)^2     Bradley-Terry, https://arxiv.org/abs/2203.02155;
                                                                   the second term: https://arxiv.org/abs/2312.09244
    hinge    max(0, m + margin - (c - r))

and with r the reward of an answer that has a score:

    mse      (r - score)^2
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def bt(chosen: Tensor, rejected: Tensor, margins: Tensor | float = 0.0, center: float = 0.0) -> Tensor:
    """The loss [P] of rewards [P]; `margins` [P]: by how much the chosen answer should be better.

    The first term depends on the difference of the rewards only, so both could drift away together; the second term
    keeps their sum near zero. Without margin and second term, equal rewards have a loss of ln 2.
    """
    return -F.logsigmoid(chosen - rejected - margins) + center * (chosen + rejected).square()


def hinge(chosen: Tensor, rejected: Tensor, margins: Tensor | float = 0.0, m: float = 1.0) -> Tensor:
    """The loss [P] of rewards [P]: zero if the chosen answer is better by `m` plus its margin."""
    return torch.relu(m + margins - (chosen - rejected))


def mse(rewards: Tensor, scores: Tensor) -> Tensor:
    """The loss [N] of rewards [N] and scores [N]."""
    return (rewards - scores).square()
