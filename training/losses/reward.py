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
    """[P] of rewards [P]; `margins` [P]: by how much the chosen answer should be better.

    Only differences of rewards count for the first term, so all of them could drift away together: the second one
    keeps their sum near zero. Equal rewards cost ln 2 without either.
    """
    return -F.logsigmoid(chosen - rejected - margins) + center * (chosen + rejected).square()


def hinge(chosen: Tensor, rejected: Tensor, margins: Tensor | float = 0.0, m: float = 1.0) -> Tensor:
    """[P] of rewards [P]: nothing once the chosen answer is better by `m` and its own margin."""
    return torch.relu(m + margins - (chosen - rejected))


def mse(rewards: Tensor, scores: Tensor) -> Tensor:
    """[N] of rewards and scores [N]."""
    return (rewards - scores).square()
