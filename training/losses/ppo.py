"""What PPO adds to a clipped policy gradient: rewards of actions, and the loss of a critic.

    r_t    = -kl_coef KL_t,  and at the last action + score - penalty if the answer has no end     InstructGPT
    policy   -min(rho A, clip(rho, 1 - low, 1 + high) A)                     https://arxiv.org/abs/1707.06347
    value    1/2 max((v - R)^2, (V + clip(v - V, -c, c) - R)^2)              V: the critic's value before the updates

InstructGPT: https://arxiv.org/abs/2203.02155. Both losses are averaged over the actions of the update. A and R come
from `training/losses/advantages.py`, the KL from `training/losses/kl.py`.
"""

import torch
from torch import Tensor

from training.losses.policy import PolicyLoss, Settings, policy_loss

SMALLEST_SPREAD = 1e-12  # of the mean square; a smaller variance of float32 numbers is rounding


def clipped_policy_loss(
    log_p: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, low: float = 0.2, high: float = 0.2
) -> PolicyLoss:
    """The loss of the policy: `dapo`, with an advantage for each action [S, A]; the rest as in `policy_loss`."""
    return policy_loss("dapo", log_p, old, advantages, mask, Settings(clip_low=low, clip_high=high))


def clipped_value_loss(values: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip: float = 0.2) -> PolicyLoss:
    """The loss of the critic, as a `PolicyLoss`; `values`, with gradient, `old` and `returns`: [S, A].

    A value that has moved further than `clip` towards its return has no gradient.
    """
    values, old, returns = (torch.where(mask, each, 0) for each in (values, old, returns))
    free = (values - returns).square()
    near = (old + (values - old).clamp(-clip, clip) - returns).square()
    actions = mask.sum()
    measures = {"value/clip_ratio": ((near > free).sum(), actions), "value/mean": (values.detach().sum(), actions)}
    return PolicyLoss(torch.maximum(free, near).sum() / 2, actions, actions, measures, {})


def shaped_rewards(
    scores: Tensor, kl: Tensor, mask: Tensor, kl_coef: float, ended: Tensor, no_end_penalty: float = 0.0
) -> Tensor:
    """The reward of each action [S, A]: -kl_coef KL, and at the last action of each answer also its score.

    scores [S]; kl [S, A], in nats; ended [S], bool: whether the answer has an end. A truncated answer loses
    `no_end_penalty`; otherwise it would be worth as much as one with an end.
    """
    places = torch.arange(mask.shape[1], device=mask.device)
    last = places == torch.where(mask, places, -1).amax(dim=1, keepdim=True)
    worth = scores - no_end_penalty * (~ended).to(scores.dtype)
    return torch.where(mask, -kl_coef * kl, 0) + torch.where(last, worth[:, None], 0)


def explained_variance(errors: Tensor, returns: Tensor) -> float:
    """1 - Var(R - V) / Var(R) over the actions: 1 if the critic is always right, 0 if it is as good as a constant.

    errors, returns: the `moments` of R - V and of R (`training/losses/advantages.py`), of all processes. Also 0 if the
    returns do not vary, when there is nothing to explain.
    """
    (unexplained, _), (spread, mean_square) = (_variance(each) for each in (errors, returns))
    return 1 - unexplained / spread if spread > SMALLEST_SPREAD * mean_square else 0.0


def _variance(moments: Tensor) -> tuple[float, float]:
    """The variance and the mean square of what has these moments; 0 and 0 of nothing."""
    count, total, squares = moments.tolist()
    return (max(0.0, squares - total**2 / count) / count, squares / count) if count else (0.0, 0.0)


def next_kl_coef(coefficient: float, kl: float, target: float, horizon: float) -> float:
    """The coefficient of the KL in the next iteration: larger if `kl` was above `target`, smaller if below.

    kl, target: nats an answer. horizon: the number of iterations in which a KL of 20 % above the target changes the
    coefficient by about 20 %; a larger KL counts as 20 % above (Ziegler et al. 2019, section 2.2,
    https://arxiv.org/abs/1909.08593; their gain of 0.1 is a horizon of 10).
    """
    error = min(0.2, max(-0.2, kl / target - 1))
    return coefficient * (1 + error / horizon)
