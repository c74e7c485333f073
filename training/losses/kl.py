"""How far a policy is from its reference, KL(policy || reference), estimated from actions that the policy sampled.

With d = log p_reference - log p_policy of an action, whose mean over samples is -KL (http://joschu.net/blog/kl-approx.html):

    k1   -d                 right on average; single ones may be negative
    k2   d^2 / 2            never negative, and nearly right while the two are near each other
    k3   exp(d) - 1 - d     right on average, and never negative

As a part of the reward (PPO), k1 is right. As a part of the loss, the gradient has to be right, and the gradients of k1
(0 on average) and of k3 (that of KL(reference || policy)) are not. `penalty` has the right one.
"""

import torch
from torch import Tensor

MOST_LOG_RATIO = 20.0  # in nats: one token must not make a sum infinite
MOST_KL = 10.0  # of one token, in nats


def k1(log_p: Tensor, reference: Tensor) -> Tensor:
    """k1 of each action, in nats, from its log-probabilities; all tensors have the same shape."""
    return log_p - reference


def k3(log_p: Tensor, reference: Tensor) -> Tensor:
    """k3 of each action, limited to 10 nats, since exp(d) of one token would otherwise outweigh all others."""
    d = (reference - log_p).clamp(-MOST_LOG_RATIO, MOST_LOG_RATIO)
    return (torch.expm1(d) - d).clamp(max=MOST_KL)


def penalty(log_p: Tensor, reference: Tensor, ratio: Tensor) -> Tensor:
    """rho k3 of each action, with the gradient of KL(policy || reference); all tensors have the same shape.

    ratio: rho = p / p_old. An action was sampled from p_old, so its weight under the policy is rho, which makes both
    value and gradient unbiased after any number of updates (DeepSeek-V3.2, https://arxiv.org/abs/2512.02556). The
    gradient of rho k3 is -rho d times that of log p: in the first update the same as that of k2. It is written down
    here as that product, because the limits of k3 would turn it around where the two policies are far apart.
    """
    d = (reference - log_p).detach().clamp(-MOST_LOG_RATIO, MOST_LOG_RATIO)
    slope = -ratio.detach() * d * log_p
    return (ratio * k3(log_p, reference) - slope).detach() + slope
