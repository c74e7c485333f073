"""log p of single tokens and of whole completions: with gradient, for preference losses and policy gradients; without,
to see where in a text a network predicts well.

Unlike in `training/losses/next_token.py`, the gradient cannot be computed in the forward pass: the factor of a token
depends on the other completion of its pair. Logits are too large to keep for all tokens, so the backward pass computes
them again, a chunk of tokens at a time; only their normaliser, one number per token, is kept.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from model.likelihood import IGNORE, chunk_length, compute_type, places_of_targets


def token_log_probabilities(
    features: Tensor, head: Tensor, targets: Tensor, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """log softmax(features @ head')[target] of each target, and the entropy with which it was predicted, in nats.

    features: [..., D], the last hidden states; head: [V, D]; targets: [...] token ids. Returns two [...], in at least
    float32 and 0 where the target is IGNORE; the entropy has no gradient.
    """
    flat, wanted = features.flatten(0, -2), targets.flatten()
    settings = chunk or chunk_length(head), compute_type(features, head)
    if features.device.type == "cpu":
        here = places_of_targets(wanted)
        chosen = _LinearLogProbabilities.apply(flat[here], head, wanted[here], *settings)
        found = [each.new_zeros(len(wanted)) for each in chosen]
        for every, some in zip(found, chosen, strict=True):
            every[here] = some
    else:
        found = _LinearLogProbabilities.apply(flat, head, wanted, *settings)
    return found[0].view(targets.shape), found[1].view(targets.shape)


def sequence_sums(values: Tensor, sequences: Tensor, count: int) -> Tensor:
    """Sums of `values` [B, T] over each of `count` sequences; `sequences` [B, T]: the number of each token's sequence.

    A token that belongs to no sequence may have any number, if its value is 0. Returns [count].
    """
    return values.new_zeros(count).index_add(0, sequences.flatten(), values.flatten())


class _LinearLogProbabilities(torch.autograd.Function):
    """log softmax(x @ head')[y] of each row of x [N, D], and entropies; the logits are recomputed for the gradient."""

    @staticmethod
    def forward(ctx, features, head, targets, chunk, kind):
        wide = torch.promote_types(kind, torch.float32)
        narrow, output = features.to(kind), head.to(kind)
        picked = torch.zeros(len(features), dtype=wide, device=features.device)
        normalisers, entropies = torch.empty_like(picked), torch.zeros_like(picked)
        for start in range(0, len(features), chunk):
            here = slice(start, start + chunk)
            logits, trained = F.linear(narrow[here], output).to(wide), targets[here] != IGNORE
            normalisers[here] = logits.logsumexp(dim=-1)
            y = torch.where(trained, targets[here], 0)[:, None]
            picked[here] = torch.where(trained, logits.gather(-1, y)[:, 0] - normalisers[here], 0)
            # -sum p log p = log Z - sum p z
            mean = ((logits - normalisers[here, None]).exp_() * logits).sum(dim=-1)
            entropies[here] = torch.where(trained, normalisers[here] - mean, 0)
        ctx.save_for_backward(features, head, targets, normalisers)
        ctx.chunk, ctx.kind = chunk, kind
        ctx.mark_non_differentiable(entropies)
        return picked, entropies

    @staticmethod
    def backward(ctx, gradient, _):
        """d log p[y] / d logits = onehot(y) - softmax(logits)."""
        features, head, targets, normalisers = ctx.saved_tensors
        needs_features, needs_head = ctx.needs_input_grad[:2]
        grad_features = torch.empty_like(features) if needs_features else None
        wide = torch.promote_types(head.dtype, torch.float32)
        grad_head = torch.zeros_like(head, dtype=wide) if needs_head else None
        narrow, output = features.to(ctx.kind), head.to(ctx.kind)
        for start in range(0, len(features), ctx.chunk):
            here = slice(start, start + ctx.chunk)
            trained = targets[here] != IGNORE
            weight = torch.where(trained, gradient[here], 0)[:, None]
            logits = F.linear(narrow[here], output).to(normalisers.dtype)
            slope = (logits - normalisers[here, None]).exp_().mul_(-weight)
            slope.scatter_add_(-1, torch.where(trained, targets[here], 0)[:, None], weight)
            slope = slope.to(ctx.kind)
            if needs_features:
                grad_features[here] = slope @ output
            if needs_head:
                grad_head += slope.T @ narrow[here]
        return grad_features, grad_head.to(head.dtype) if needs_head else None, None, None, None
