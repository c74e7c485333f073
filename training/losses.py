"""Losses: tensors in, sums and counts out.

A loss returns its *sum* over trained tokens and their number. Means are taken once, over the whole optimizer step,
so that neither the batch size nor accumulation nor the number of processes changes what is optimised.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from dataset.rows import IGNORE


def cross_entropy_sum(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum of -log softmax(logits)[target] over targets that are not IGNORE, float32, in nats.

    logits: [N, V] of any floating type; targets: [N]. With no target left the sum is zero and connected to the graph.
    """
    return F.cross_entropy(logits.float(), targets, ignore_index=IGNORE, reduction="sum")


def next_token_loss(features: Tensor, head: Tensor, targets: Tensor, chunk: int = 2048) -> Tensor:
    """Sum of the next-token cross-entropy, from the last hidden states.

    features: [B, T, D]; head: [V, D], the output embedding; targets: [B, T].
    The logits of all tokens at once are the largest tensor of a small model (4096 tokens x 151,936 entries are 2.5 GB),
    so they are made `chunk` tokens at a time and made again in the backward pass when there is more than one chunk.
    """
    features, targets = features.flatten(0, -2), targets.flatten()

    def chunk_loss(x, y):
        return cross_entropy_sum(F.linear(x, head), y)

    if len(features) <= chunk:
        return chunk_loss(features, targets)
    total = features.new_zeros((), dtype=torch.float32)
    for x, y in zip(features.split(chunk), targets.split(chunk)):
        total = total + (checkpoint(chunk_loss, x, y, use_reentrant=False) if x.requires_grad else chunk_loss(x, y))
    return total
