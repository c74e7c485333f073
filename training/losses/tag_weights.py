"""The weight of each target in the loss of reasoning: see train_reason.py."""

from collections.abc import Sequence

import torch
from torch import Tensor

from model.likelihood import IGNORE


def target_weights(targets: Tensor, heavy: Sequence[int], weight: float) -> Tensor:
    """`weight` where the target is one of the ids `heavy`, 1 at all others, 0 where it is IGNORE: float32, as targets.

    Their sum is what the mean of a weighted loss is taken over: sum of w loss / sum of w.
    """
    weights = (targets != IGNORE).float()
    for token in heavy:
        weights = torch.where(targets == token, weight, weights)
    return weights
