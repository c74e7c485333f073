"""Advantages: how much better an action, or a whole answer, was than expected.

In PPO a critic says what to expect, and generalised advantage estimation compares each action with it
(https://arxiv.org/abs/1506.02438):

    delta_t = r_t + gamma V_{t+1} - V_t          A_t = delta_t + gamma lambda A_{t+1}          R_t = A_t + V_t

In GRPO the other answers to the same prompt say what to expect (https://arxiv.org/abs/2402.03300):

    A = (r - mean of the group) / (deviation + 1e-4)

The deviation, with Bessel's correction, is that of the group, that of the batch (https://arxiv.org/abs/2508.08221), or
left out, because it lends weight to prompts that are nearly always or nearly never answered well (Dr. GRPO,
https://arxiv.org/abs/2503.20783).

Actions stand in tensors [S, A] of S answers; `mask` distinguishes them from padding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

EPSILON = 1e-4  # added to deviations of rewards
ALIKE = 1e-6  # rewards this near to each other are the same one, rounded differently


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Advantages and returns [S, A] of `rewards` and `values` [S, A]; 0 where `mask` [S, A] is False.

    values: the critic's value before each action. gamma: the discount; lam: lambda. Columns without an action are
    skipped, as if the actions stood side by side. After the last action the value is 0, even if the answer was
    truncated.
    """
    next_value = values.new_zeros(len(values))
    carried, columns = torch.zeros_like(next_value), []
    for t in reversed(range(values.shape[1])):
        here, value = mask[:, t], values[:, t]
        advantage = rewards[:, t] + gamma * next_value - value + gamma * lam * carried
        carried, next_value = torch.where(here, advantage, carried), torch.where(here, value, next_value)
        columns.append(torch.where(here, advantage, 0))
    advantages = torch.stack(columns[::-1], dim=1) if columns else torch.zeros_like(values)
    return advantages, torch.where(mask, advantages + values, 0)


def moments(values: Tensor, mask: Tensor) -> Tensor:
    """Count, sum and sum of squares of `values` where `mask`, float64 [3] on the CPU; they add up over processes."""
    values = values[mask].detach().cpu().double()
    return torch.stack([torch.tensor(float(len(values)), dtype=torch.float64), values.sum(), values.square().sum()])


def whiten(values: Tensor, mask: Tensor, of_all: Tensor | None = None) -> Tensor:
    """`values` [S, A], shifted and scaled to mean 0 and variance 1 over the actions; 0 elsewhere.

    The variance has Bessel's correction. Fewer than two actions have no variance, and stay as they are. of_all: the sum
    of the `moments` of all processes, if there are several.
    """
    count, total, squares = (moments(values, mask) if of_all is None else of_all).tolist()
    if count < 2:
        return torch.where(mask, values, 0)
    mean = total / count
    variance = max(0.0, squares - count * mean**2) / (count - 1)
    return torch.where(mask, (values - mean) / (variance + 1e-8) ** 0.5, 0)


def group_advantages(rewards: Tensor, groups: Tensor, scale: str = "group") -> tuple[Tensor, Tensor]:
    """Advantages [S] of answers with `rewards` [S], and which groups have a spread, bool [G].

    groups [S]: the number of each answer's group, from 0; groups may differ in size. scale: "group", "batch", "none".
    An answer whose reward is NaN was not rated: it does not count, and its advantage is 0. The advantages of a group
    without a spread, whose rewards are equal, are 0, too: there is nothing to learn from them. The batch is all answers
    given here; several processes gather their rewards before. Raises ValueError for another scale.
    """
    if scale not in ("group", "batch", "none"):
        raise ValueError(f"rewards are scaled by group, batch or none, not by {scale}")
    count = int(groups.max()) + 1 if len(groups) else 0
    rated = ~rewards.isnan()
    wide, group = rewards[rated].double(), groups[rated]

    def sums(each: Tensor) -> Tensor:
        return each.new_zeros(count).index_add(0, group, each)

    answers = sums(torch.ones_like(wide))
    centred = wide - (sums(wide) / answers.clamp(min=1))[group]
    spread = sums((centred.abs() > ALIKE).double()) > 0
    if scale == "group":
        centred = centred / ((sums(centred.square()) / (answers - 1).clamp(min=1)).sqrt() + EPSILON)[group]
    elif scale == "batch":
        centred = centred / (deviation(wide) + EPSILON)
    advantages = torch.zeros_like(rewards)
    advantages[rated] = torch.where(spread[group], centred, 0).to(rewards.dtype)
    return advantages, spread


def weighted_sum(rewards: Tensor, weights: Sequence[float]) -> Tensor:
    """The reward of each answer [S] from those of F functions, [S, F]; NaN means that a function has not rated it.

    Such a function adds nothing; an answer that no function has rated gets NaN.
    """
    total = (rewards * rewards.new_tensor(weights)).nansum(dim=1)
    return total.masked_fill(rewards.isnan().all(dim=1), torch.nan)


def deviation(values: Tensor) -> Tensor:
    """The standard deviation of all `values`, with Bessel's correction; 0 for fewer than two."""
    return values.std() if len(values) > 1 else values.new_zeros(())
