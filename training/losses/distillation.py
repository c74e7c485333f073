"""Losses of distillation: how far a student's prediction of a token is from the teacher's.

With p = softmax(teacher logits / tau), q = softmax(student logits / tau), and m = beta p + (1 - beta) q:

    forward_kl   KL(p || q) = sum p (log p - log q)         the student covers all that the teacher finds possible
    reverse_kl   KL(q || p)                                 the student keeps to what the teacher finds likely
    jsd          beta KL(p || m) + (1 - beta) KL(q || m)    between the two: jsd / beta becomes the first as beta -> 0,
                                                            jsd / (1 - beta) the second as beta -> 1

    loss of a token = alpha * -log softmax(student logits)[token] + (1 - alpha) * tau^2 * one of these

tau^2 keeps the size of the gradient as tau grows (Hinton et al. 2015, section 2, https://arxiv.org/abs/1503.02531); the
three divergences are those of GKD (https://arxiv.org/abs/2306.13649, section 2). All is computed in log space.

A teacher may be given by its k most probable tokens only. All other tokens then form one further outcome, the tail: the
divergence of these k + 1 outcomes is never more than that of all tokens, and zero for equal predictions.
Scaling the k up to a sum of 1 instead would tell the student that nothing else is possible, a bias that costs
calibration (https://arxiv.org/abs/2503.16870, section 3).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from model.likelihood import IGNORE, chunk_length, compute_type

# --- divergences: from log-probabilities [..., outcomes] to [...] -----------------------------------


def forward_kl(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(teacher || student)."""
    return (teacher.exp() * (teacher - student)).sum(dim=-1)


def reverse_kl(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(student || teacher)."""
    return forward_kl(student, teacher)


def jsd(teacher: Tensor, student: Tensor, beta: float = 0.5) -> Tensor:
    """The generalised Jensen-Shannon divergence, 0 < beta < 1."""
    mixture = torch.logaddexp(teacher + math.log(beta), student + math.log1p(-beta))
    return beta * forward_kl(teacher, mixture) + (1 - beta) * forward_kl(student, mixture)


@dataclass(frozen=True)
class Divergence:
    """One of the three divergences of predictions softened by the temperature tau, times tau^2."""

    loss_type: str = "forward_kl"
    temperature: float = 1.0
    jsd_beta: float = 0.5

    def soften(self, logits: Tensor) -> Tensor:
        return (logits / self.temperature).log_softmax(dim=-1)

    def __call__(self, teacher: Tensor, student: Tensor) -> Tensor:
        """The divergence of softened log-probabilities."""
        if self.loss_type == "jsd":
            divergence = jsd(teacher, student, self.jsd_beta)
        else:
            divergence = {"forward_kl": forward_kl, "reverse_kl": reverse_kl}[self.loss_type](teacher, student)
        return self.temperature**2 * divergence


# --- the teacher's predictions of N tokens, whole or top k ------------------------------------------


class Taught(Protocol):
    def __len__(self) -> int: ...

    def predictions(self, here: slice, student: Tensor, divergence: Divergence) -> tuple[Tensor, Tensor, Tensor]:
        """For the tokens `here`: log-probabilities [n, outcomes] of teacher and student; the teacher's most probable
        token [n].

        student: its softened log-probabilities [n, V].
        """


@dataclass(frozen=True)
class Whole:
    """Last hidden states [N, D] and the output embedding [V, D], from which logits are computed when needed."""

    features: Tensor
    head: Tensor

    def __len__(self) -> int:
        return len(self.features)

    def predictions(self, here: slice, student: Tensor, divergence: Divergence) -> tuple[Tensor, Tensor, Tensor]:
        kind = compute_type(self.features, self.head)
        logits = F.linear(self.features[here].to(kind), self.head.to(kind)).to(student.dtype)
        return divergence.soften(logits), student, logits.argmax(dim=-1)

    def top(self, k: int, divergence: Divergence, chunk: int | None = None) -> "Top":
        """The k most probable tokens, k < V."""
        wide = torch.promote_types(compute_type(self.features, self.head), torch.float32)
        ids, logs = [], []
        for start in range(0, len(self.features), chunk or chunk_length(self.head)):
            here = slice(start, start + (chunk or chunk_length(self.head)))
            teacher, _, _ = self.predictions(here, torch.empty(0, dtype=wide), divergence)
            ids.append(teacher.topk(k, dim=-1).indices)
            logs.append(with_tail(teacher, ids[-1]))
        if not ids:
            none = self.features.new_empty(0, k + 1, dtype=wide)
            return Top(none[:, 1:].long(), none)
        return Top(torch.cat(ids), torch.cat(logs))


@dataclass(frozen=True)
class Top:
    """The k most probable tokens [N, k] in descending order; their softened log-probabilities and that of the tail,
    [N, k + 1].
    """

    ids: Tensor
    log_probabilities: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def predictions(self, here: slice, student: Tensor, divergence: Divergence) -> tuple[Tensor, Tensor, Tensor]:
        ids = self.ids[here]
        return self.log_probabilities[here].to(student.dtype), with_tail(student, ids), ids[:, 0]


def with_tail(log_probabilities: Tensor, ids: Tensor) -> Tensor:
    """From log-probabilities [n, V], those of `ids` [n, k] and that of all other tokens together: [n, k + 1].

    The tail is a sum, not 1 minus the others, since rounding near 1 would lose a small tail.
    """
    tail = log_probabilities.scatter(-1, ids, -math.inf).logsumexp(dim=-1, keepdim=True)
    return torch.cat((log_probabilities.gather(-1, ids), tail), dim=-1)


# --- the loss of a batch ----------------------------------------------------------------------------


class Sums(NamedTuple):
    """Sums over trained tokens; only `loss` has a gradient."""

    loss: Tensor
    ce: Tensor  # -log q(token), at temperature 1
    kl: Tensor  # the divergence, tau^2 included
    correct: Tensor  # tokens that the student finds most probable
    agreed: Tensor  # tokens for which student and teacher find the same one most probable


def trained_places(targets: Tensor, trained: int) -> Tensor:
    """The indices [N] of the `trained` targets that are not IGNORE in the flattened [B, T], in order: sorted to the
    front, since looking for them with `nonzero` would wait for a GPU."""
    return (targets.flatten() == IGNORE).byte().argsort(stable=True)[:trained]


def distillation_loss(
    features: Tensor,
    head: Tensor,
    targets: Tensor,
    taught: Taught,
    divergence: Divergence,
    combine: Callable[[Tensor, Tensor], Tensor],
    chunk: int | None = None,
) -> Sums:
    """The loss of trained tokens, those whose target is not IGNORE.

    features: [..., D], the student's last hidden states; head: [V, D]; targets: [...] token ids. taught: predictions
    for the N trained tokens, in order. combine(ce, kl): the loss of each token [n] from cross-entropy and divergence.
    Without any trained target the sum is zero, and connected to the graph.

    Logits and their gradient are computed for `chunk` tokens at a time, as in `next_token.next_token_loss`.
    """
    here = trained_places(targets, len(taught))
    chosen = features.flatten(0, -2).index_select(0, here), head, targets.flatten()[here]
    settings = chunk or max(64, chunk_length(head) // 4), compute_type(features, head)
    return Sums(*_Distillation.apply(*chosen, taught, divergence, combine, *settings))


class _Distillation(torch.autograd.Function):
    """The sum over tokens. The forward pass also computes the gradient of each chunk, so that no logits are kept."""

    @staticmethod
    def forward(ctx, features, head, targets, taught, divergence, combine, chunk, kind):
        wide = torch.promote_types(kind, torch.float32)
        needs_features, needs_head = ctx.needs_input_grad[:2]
        grad_features = torch.empty_like(features) if needs_features else None
        sum_type = torch.promote_types(head.dtype, torch.float32)
        grad_head = torch.zeros_like(head, dtype=sum_type) if needs_head else None
        narrow, output = features.to(kind), head.to(kind)
        sums = [torch.zeros((), dtype=wide, device=features.device) for _ in Sums._fields]
        for start in range(0, len(features), chunk):
            here = slice(start, start + chunk)
            x, y = narrow[here], targets[here]
            logits = F.linear(x, output).to(wide).requires_grad_()
            with torch.enable_grad():
                student = divergence.soften(logits)
                teacher, student, likeliest = taught.predictions(here, student, divergence)
                ce = F.cross_entropy(logits, y, reduction="none")
                kl = divergence(teacher, student)
                loss = combine(ce, kl).sum()
                slope = torch.autograd.grad(loss, logits)[0].to(kind) if needs_features or needs_head else None
            guess = logits.argmax(dim=-1)
            for total, part in zip(sums, (loss, ce.sum(), kl.sum(), (guess == y).sum(), (guess == likeliest).sum())):
                total += part.detach()
            if needs_features:
                grad_features[here] = slope @ output
            if needs_head:
                grad_head += slope.T @ x
        ctx.save_for_backward(grad_features, grad_head.to(head.dtype) if needs_head else None)
        ctx.mark_non_differentiable(*sums[1:])
        return tuple(sums)

    @staticmethod
    def backward(ctx, grad_loss, *_):
        gradients = [None if g is None else g * grad_loss.to(g.dtype) for g in ctx.saved_tensors]
        return *gradients, None, None, None, None, None, None
