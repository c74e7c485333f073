"""Losses: tensors in, sums and counts out.

A loss returns its *sum* over trained tokens. Means are taken once, over the whole optimizer step, so that
neither the batch size nor accumulation nor the number of processes changes what is optimised.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from model.likelihood import IGNORE, chunk_length, compute_type, places_of_targets


def next_token_loss(
    features: Tensor, head: Tensor, targets: Tensor, chunk: int | None = None, weights: Tensor | None = None
) -> Tensor:
    """Sum of -log softmax(features @ head')[target] over targets that are not IGNORE, in nats, at least float32.

    features: [..., D], the last hidden states; head: [V, D], the output embedding; targets: [...] token ids;
    weights: [...], by which each target's term is multiplied (`tag_weights.target_weights`), without gradient.
    With no target left the sum is zero, and connected to the graph.
    Logits are made for `chunk` tokens at a time (or as `chunk_length` says), and only once: see `_LinearCrossEntropy`.
    """
    return _cross_entropy(features, head, targets, chunk, weights, measures=False)[0]


def next_token_loss_and_measures(
    features: Tensor, head: Tensor, targets: Tensor, chunk: int | None = None, weights: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """`next_token_loss`; the number of targets predicted correctly, by the largest logit; and the sum of the entropies
    -sum p log p of the predictions, in nats. The last two have no gradient and ignore `weights`."""
    return _cross_entropy(features, head, targets, chunk, weights, measures=True)


def _cross_entropy(features, head, targets, chunk, weights, measures):
    features, targets = features.flatten(0, -2), targets.flatten()
    weights = weights if weights is None else weights.flatten()
    kind = compute_type(features, head)
    if features.device.type == "cpu" and not torch.compiler.is_compiling():
        here = places_of_targets(targets)
        features, targets = features[here], targets[here]
        weights = weights if weights is None else weights[here]
    return _LinearCrossEntropy.apply(features, head, targets, weights, chunk or chunk_length(head), kind, measures)


class _LinearCrossEntropy(torch.autograd.Function):
    """Cross-entropy on top of a linear layer; the forward pass also computes the gradient.

    The gradient of -log softmax(z)[y] with respect to the logits z is softmax(z) - onehot(y), which the forward pass
    can compute chunk by chunk; the backward pass only multiplies it by one number. So logits are neither kept for the
    backward pass nor computed twice. (The idea is from Liger's fused loss, https://arxiv.org/abs/2410.10989.)
    """

    @staticmethod
    def forward(ctx, features, head, targets, weights, chunk, compute_type, measures):
        wide = torch.promote_types(compute_type, torch.float32)
        loss = torch.zeros((), dtype=wide, device=features.device)
        entropy = torch.zeros_like(loss)
        correct = torch.zeros((), dtype=torch.int64, device=features.device)
        needs_features, needs_head = ctx.needs_input_grad[:2]
        grad_features = torch.empty_like(features) if needs_features else None
        kept_as = head.dtype  # the sum over the chunks is wide, as for a bfloat16 head it would lose digits
        grad_head = torch.zeros_like(head, dtype=torch.promote_types(kept_as, torch.float32)) if needs_head else None
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
            loss = loss - of_targets.sum()  # torch 2.11 compiles -= to a result without any gradient
            if measures:
                correct = correct + ((log_probabilities.argmax(dim=-1) == y[:, 0]) & trained).sum()
                negative_entropies = (log_probabilities.exp() * log_probabilities).sum(dim=-1)
                entropy = entropy - torch.where(trained, negative_entropies, 0).sum()
            if not (needs_features or needs_head):
                continue
            gradient = log_probabilities.exp_()
            gradient.scatter_add_(-1, y, gradient.new_full(y.shape, -1.0))
            gradient = gradient.mul_(factors).to(compute_type)
            if needs_features:
                grad_features[start : start + chunk] = gradient @ head
            if needs_head:
                grad_head += gradient.T @ x
        ctx.save_for_backward(grad_features, grad_head.to(kept_as) if needs_head else None)
        ctx.mark_non_differentiable(correct, entropy)
        return loss, correct, entropy

    @staticmethod
    def backward(ctx, grad_loss, *_):
        # The gradient of the loss scales all others; None where no gradient was asked for.
        gradients = [None if g is None else g * grad_loss.to(g.dtype) for g in ctx.saved_tensors]
        return *gradients, None, None, None, None, None
