"""Losses: tensors in, sums and counts out.

A loss returns its *sum* over trained tokens. Means are taken once, over the whole optimizer step, so that
neither the batch size nor accumulation nor the number of processes changes what is optimised.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dataset.rows.rows import IGNORE

LOGITS_AT_ONCE = 2**24  # 64 MB in float32


def next_token_loss(
    features: Tensor, head: Tensor, targets: Tensor, chunk: int | None = None, weights: Tensor | None = None
) -> Tensor:
    """Sum of -log softmax(features @ head')[target] over targets that are not IGNORE, in nats, at least float32.

    features: [..., D], the last hidden states; head: [V, D], the output embedding; targets: [...] token ids;
    weights: [...], by which each target's term is multiplied (`target_weights`), without gradient.
    With no target left the sum is zero, and connected to the graph.

    The logits of all tokens at once would be the largest tensor of the network (4096 tokens x 151,936
    entries: 2.5 GB), so they are made for `chunk` tokens at a time, and only once: see `_LinearCrossEntropy`.
    """
    return _cross_entropy(features, head, targets, chunk, weights, measures=False)[0]


def next_token_loss_and_measures(
    features: Tensor, head: Tensor, targets: Tensor, chunk: int | None = None, weights: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """`next_token_loss`, and without gradient the number of targets with the largest logit of all, and the sum of the
    entropies -sum p log p, in nats, with which they were predicted; every target counts once in these, whatever its
    weight.
    """
    return _cross_entropy(features, head, targets, chunk, weights, measures=True)


def target_weights(targets: Tensor, heavy: Sequence[int], weight: float) -> Tensor:
    """`weight` where the target is one of the ids `heavy`, 1 at all others, 0 where it is IGNORE: float32, as targets.

    Their sum is what the mean of a weighted loss is taken over: sum of w loss / sum of w.
    """
    weights = (targets != IGNORE).float()
    for token in heavy:
        weights = torch.where(targets == token, weight, weights)
    return weights


def _cross_entropy(features, head, targets, chunk, weights, measures):
    features, targets = features.flatten(0, -2), targets.flatten()
    weights = weights if weights is None else weights.flatten()
    kind = compute_type(features, head)
    if features.device.type == "cpu":
        # What is not trained needs no logits. To know how many these are, a GPU would have to be waited for.
        here = (targets != IGNORE).nonzero()[:, 0]
        if len(here) < len(targets):
            features, targets = features[here], targets[here]
            weights = weights if weights is None else weights[here]
    return _LinearCrossEntropy.apply(features, head, targets, weights, chunk or chunk_length(head), kind, measures)


@torch.no_grad()
def next_token_scores(features: Tensor, head: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of `next_token_loss`, and how many targets have the largest logit of all: for token accuracy."""
    loss, correct, _ = _cross_entropy(features, head, targets, None, None, measures=True)
    return loss, correct


def chunk_length(head: Tensor) -> int:
    """For how many tokens logits are made at a time."""
    return max(256, LOGITS_AT_ONCE // len(head))


def compute_type(features: Tensor, head: Tensor) -> torch.dtype:
    """The precision of the product of the two, as autocast would have it."""
    if torch.is_autocast_enabled(features.device.type):
        return torch.get_autocast_dtype(features.device.type)
    return torch.promote_types(features.dtype, head.dtype)


class _LinearCrossEntropy(torch.autograd.Function):
    """Cross-entropy on top of a linear layer, with its gradient computed right away.

    The gradient of -log softmax(z)[y] with respect to the logits z is softmax(z) - onehot(y): everything it
    needs is at hand in the forward pass, chunk by chunk, and what comes back later is one number to multiply
    it by. So no logits are kept for the backward pass, nor made a second time. (The idea is that of Liger's
    fused loss, https://arxiv.org/abs/2410.10989.)
    """

    @staticmethod
    def forward(ctx, features, head, targets, weights, chunk, compute_type, measures):
        wide = torch.promote_types(compute_type, torch.float32)
        loss = torch.zeros((), dtype=wide, device=features.device)
        entropy = torch.zeros_like(loss)
        correct = torch.zeros((), dtype=torch.int64, device=features.device)
        needs_features, needs_head = ctx.needs_input_grad[:2]
        grad_features = torch.empty_like(features) if needs_features else None
        grad_head = torch.zeros_like(head) if needs_head else None
        features, head = features.to(compute_type), head.to(compute_type)
        for start in range(0, len(features), chunk):
            x, y = features[start : start + chunk], targets[start : start + chunk]
            trained = y != IGNORE
            y = torch.where(trained, y, 0)[:, None]
            log_probabilities = F.linear(x, head).to(wide).log_softmax(dim=-1)
            of_targets = torch.where(trained[:, None], log_probabilities.gather(-1, y), 0)
            factors = trained[:, None]
            if weights is not None:
                factors = factors * weights[start : start + chunk, None].to(wide)
                of_targets = of_targets * factors
            loss -= of_targets.sum()
            if measures:
                correct += ((log_probabilities.argmax(dim=-1) == y[:, 0]) & trained).sum()
                entropy -= torch.where(trained, (log_probabilities.exp() * log_probabilities).sum(dim=-1), 0).sum()
            if not (needs_features or needs_head):
                continue
            gradient = log_probabilities.exp_()
            gradient.scatter_add_(-1, y, gradient.new_full(y.shape, -1.0))
            gradient = gradient.mul_(factors).to(compute_type)
            if needs_features:
                grad_features[start : start + chunk] = gradient @ head
            if needs_head:
                grad_head += gradient.T @ x
        ctx.save_for_backward(grad_features, grad_head)
        ctx.mark_non_differentiable(correct, entropy)
        return loss, correct, entropy

    @staticmethod
    def backward(ctx, grad_loss, *_):
        # Scaled by what follows the loss; None where no gradient was asked for.
        gradients = [None if g is None else g * grad_loss.to(g.dtype) for g in ctx.saved_tensors]
        return *gradients, None, None, None, None, None
