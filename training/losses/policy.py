"""Losses of a policy over answers that it has sampled: GRPO and its relatives.

With rho = p(action) / p_old(action), where p_old is the policy that sampled, the advantage A of the action, and
clip(rho), which is rho limited to the range from 1 - low to 1 + high:

             loss of an action                          averaged over
    grpo     -min(rho A, clip(rho) A)                   each answer's actions, then answers  https://arxiv.org/abs/2402.03300
    bnpo     the same                                   the actions of the micro-batch       trl's name
    dr_grpo  the same                                   answers x their greatest length      https://arxiv.org/abs/2503.20783
    dapo     the same                                   the actions of the update            https://arxiv.org/abs/2503.14476
    cispo    -min(rho, cap) A log p, with no gradient   the actions of the update            https://arxiv.org/abs/2506.13585
             through min(rho, cap)
    gspo     as grpo, with one rho for an answer, the   as grpo                              https://arxiv.org/abs/2507.18071
             geometric mean of those of its actions
    sapo     -4/tau sigmoid(tau (rho - 1)) A            as grpo                              https://arxiv.org/abs/2511.20347

In the first update rho is 1, and the gradient of all of them is that of REINFORCE, -A times that of log p.

`Step.backward(loss_sum, count)` divides a loss by its count over the whole update, with all its micro-batches and
processes. So it does not matter how the answers are split. Only bnpo is an average over each micro-batch, and then over
the micro-batches: its sum is already an average, and its count is 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from model.errors import UsageError
from training.losses.kl import MOST_LOG_RATIO, penalty

MOST_LOG_RATIO_OF_ANSWER = 10.0  # for gspo, whose log-ratio is a mean over actions; beyond it there is no gradient
CLIP = {"gspo": (3e-4, 4e-4)}  # (low, high); the mean over an answer varies far less than its actions
CLIP_OF_ACTIONS = (0.2, 0.2)


@dataclass(frozen=True)
class Settings:
    """The settings of a policy loss. Raises `UsageError` for a cap or a dual clip that is too small."""

    clip_low: float | None = None  # None: 0.2, for gspo 3e-4
    clip_high: float | None = None  # None: 0.2, for gspo 4e-4
    dual_clip: float | None = None  # the largest rho that counts where A < 0, https://arxiv.org/abs/1912.09729
    cispo_cap: float = 5.0  # the largest rho that counts, not a distance from 1
    sapo_temperature: float = 1.0  # tau where A > 0
    sapo_temperature_negative: float = 1.05  # tau elsewhere: larger, so that a bad answer is let go of sooner
    longest: int | None = None  # for dr_grpo: the greatest length that an answer may have, in tokens
    beta: float = 0.0  # the weight of the KL to the reference

    def __post_init__(self):
        if self.cispo_cap < 1:
            raise UsageError(f"--cispo_cap {self.cispo_cap:g} is below 1: the largest ratio that counts is 1 or more")
        if self.dual_clip is not None and self.dual_clip <= 1:
            raise UsageError(
                f"--dual_clip {self.dual_clip:g} is not above 1: it limits ratios that are; give more, or leave it out"
            )


@dataclass(frozen=True)
class PolicyLoss:
    """The loss of a micro-batch, for `Step.backward(loss_sum, count, actions)`, and what is logged of it."""

    loss_sum: Tensor  # [], with gradient
    count: Tensor  # []: what the sum is divided by
    actions: Tensor  # []
    measures: dict[str, tuple[Tensor, Tensor]]  # sums and what they are over, without gradient
    ranges: dict[str, Tensor]  # smallest and largest value [2], over single actions, for `Step.measure_range`


@dataclass(frozen=True)
class Actions:
    """What the loss of an action is made of, [S, A] each; advantage and log p are 0 where there is none."""

    log_p: Tensor  # with gradient
    ratio: Tensor  # rho, with gradient
    advantages: Tensor
    low: float
    high: float


# --- the loss of each action, [S, A] ------------------------------------------------------------


def clipped(a: Actions, s: Settings) -> Tensor:
    """Clipped policy gradient, https://arxiv.org/abs/1707.06347, eq. 7."""
    losses = -torch.minimum(a.ratio * a.advantages, a.ratio.clamp(1 - a.low, 1 + a.high) * a.advantages)
    if s.dual_clip is None:
        return losses
    return torch.where(a.advantages < 0, torch.minimum(losses, -s.dual_clip * a.advantages), losses)


def capped(a: Actions, s: Settings) -> Tensor:
    """REINFORCE with a weight: every action keeps a gradient."""
    return -a.ratio.detach().clamp(max=s.cispo_cap) * a.advantages * a.log_p


def soft(a: Actions, s: Settings) -> Tensor:
    """A sigmoid whose slope is 1 at a ratio of 1 and fades away on both sides."""
    tau = torch.full_like(a.advantages, s.sapo_temperature_negative)
    tau = tau.masked_fill(a.advantages > 0, s.sapo_temperature)
    return -4 / tau * torch.sigmoid(tau * (a.ratio - 1)) * a.advantages


# --- from losses of actions [S, A], 0 where there is none, to a sum and its count ---------------


def over_answers(losses: Tensor, mask: Tensor, s: Settings) -> tuple[Tensor, Tensor]:
    return (losses.sum(dim=1) / mask.sum(dim=1).clamp(min=1)).sum(), mask.any(dim=1).sum()


def over_actions(losses: Tensor, mask: Tensor, s: Settings) -> tuple[Tensor, Tensor]:
    return losses.sum(), mask.sum()


def over_micro_batch(losses: Tensor, mask: Tensor, s: Settings) -> tuple[Tensor, Tensor]:
    return losses.sum() / mask.sum().clamp(min=1), mask.any().long()


def over_greatest_length(losses: Tensor, mask: Tensor, s: Settings) -> tuple[Tensor, Tensor]:
    if s.longest is None:
        raise ValueError("dr_grpo needs `longest`, the greatest length that an answer may have")
    return losses.sum(), mask.any(dim=1).sum() * s.longest


LOSSES: dict[str, tuple[Callable, Callable]] = {
    "dapo": (clipped, over_actions),
    "grpo": (clipped, over_answers),
    "bnpo": (clipped, over_micro_batch),
    "dr_grpo": (clipped, over_greatest_length),
    "cispo": (capped, over_actions),
    "gspo": (clipped, over_answers),
    "sapo": (soft, over_answers),
}


def policy_loss(
    name: str,
    log_p: Tensor,
    old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    settings: Settings | None = None,
    reference: Tensor | None = None,
) -> PolicyLoss:
    """The loss `name` of S answers, and what is logged of it; name: a key of `LOSSES`.

    log_p, old, reference: log p of the actions [S, A], in nats, under the policy, under the policy that sampled and
    under the reference; only the first has a gradient. advantages: [S] or [S, A]. mask [S, A]: which are actions. What
    stands elsewhere, and an answer without actions, such as one that is left out because it has no end, counts nowhere.
    """
    s = settings or Settings()
    surrogate, average = LOSSES[name]
    advantages = advantages[:, None] if advantages.dim() == 1 else advantages
    log_ratio = torch.where(mask, log_p - old, 0).clamp(-MOST_LOG_RATIO, MOST_LOG_RATIO)
    action_ratio = log_ratio.exp()
    low, high = CLIP.get(name, CLIP_OF_ACTIONS)
    a = Actions(
        log_p=torch.where(mask, log_p, 0),
        ratio=_ratio_of_answer(log_ratio, mask) if name == "gspo" else action_ratio,
        advantages=torch.where(mask, advantages, 0),
        low=low if s.clip_low is None else s.clip_low,
        high=high if s.clip_high is None else s.clip_high,
    )
    losses = surrogate(a, s)
    count = mask.sum()
    # k3 of KL(old || policy), because the old policy sampled the actions
    measures = {"approx_kl": (torch.expm1(log_ratio) - log_ratio, count)} | _clipping(name, a, mask, s)
    if reference is not None:
        # The ratio of the single action, for gspo too: only that one makes the KL unbiased.
        kl = penalty(a.log_p, torch.where(mask, reference, 0), action_ratio)
        measures["kl"] = kl, count
        losses = losses + s.beta * kl
    elif s.beta:
        raise ValueError("a weight of the KL needs log-probabilities of the reference")
    loss_sum, of = average(losses, mask, s)
    sums = {key: (value.detach().sum(), over) for key, (value, over) in measures.items()}
    return PolicyLoss(loss_sum, of, count, sums, {"ratio": extremes(action_ratio.detach(), mask)})


def _ratio_of_answer(log_ratio: Tensor, mask: Tensor) -> Tensor:
    """The geometric mean of an answer's ratios, at each of its actions [S, A].

    Each has the gradient of its own action (GSPO-token in the paper): on average over the answer the same as that of
    the mean, and right also if the actions differ in advantage.
    """
    mean = log_ratio.sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True).clamp(min=1)
    own = log_ratio - log_ratio.detach() + mean.detach()
    return own.clamp(max=MOST_LOG_RATIO_OF_ANSWER).exp()


def _clipping(name: str, a: Actions, mask: Tensor, s: Settings) -> dict[str, tuple[Tensor, Tensor]]:
    """How many actions (for gspo: answers) have a ratio beyond the limit that their advantage sets, by trl's names."""
    if name == "sapo":
        return {}
    count = mask.sum()
    if name == "cispo":
        return {"cispo_clip_ratio": ((a.ratio > s.cispo_cap) & (a.advantages > 0), count)}
    low, high = (a.ratio < 1 - a.low) & (a.advantages < 0), (a.ratio > 1 + a.high) & (a.advantages > 0)
    if name == "gspo":
        low, high, count = low.any(dim=1), high.any(dim=1), mask.any(dim=1).sum()
    each = {"low": low, "high": high, "region": low | high}
    return {f"clip_ratio/{side}_mean": (where, count) for side, where in each.items()}


def extremes(ratio: Tensor, mask: Tensor) -> Tensor:
    """The smallest and the largest ratio [2]; 1 and 1 without any action."""
    smallest, largest = torch.where(mask, ratio, torch.inf).min(), torch.where(mask, ratio, -torch.inf).max()
    return torch.where(mask.any(), torch.stack([smallest, largest]), 1)
