"""Losses over pairs of completions: direct preference optimisation and its relatives.

With c and r the log-ratios log p_policy - log p_reference, summed over the completion tokens of the chosen and of the
rejected answer, D = c - r, and |c|, |r| their numbers of tokens:

    sigmoid       -log sigmoid(beta D)                                   DPO, https://arxiv.org/abs/2305.18290
    sigmoid_norm  the same with the means c/|c| - r/|r| for D
    hinge         max(0, 1 - beta D)                                     SLiC, https://arxiv.org/abs/2305.10425
    ipo           (c/|c| - r/|r| - 1 / (2 beta))^2                       https://arxiv.org/abs/2310.12036
    robust        (-(1-e) ls(beta D) + e ls(-beta D)) / (1 - 2e)         https://arxiv.org/abs/2403.00409
    cdpo          -(1-e) ls(beta D) - e ls(-beta D)                      https://ericmitchell.ai/cdpo.pdf
    apo_zero      1 - sigmoid(beta c) + sigmoid(beta r)                  https://arxiv.org/abs/2408.06266
    simpo         -ls(beta (mean log p chosen - mean log p rejected) - gamma), no reference
                                                                         https://arxiv.org/abs/2405.14734
    orpo          -log p chosen / |c| + lambda * -ls(log odds ratio), no reference
                                                                         https://arxiv.org/abs/2403.07691

ls is log sigmoid, e the share of pairs whose order is thought to be wrong (`label_smoothing`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Completions:
    """The two answers of each pair, [pairs] each; log-probabilities are sums over completion tokens, in nats."""

    chosen: Tensor  # log p under the policy
    rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor
    reference_chosen: Tensor | None = None  # log p under the reference; None for losses that need none
    reference_rejected: Tensor | None = None

    @property
    def chosen_ratio(self) -> Tensor:
        """c, log p_policy - log p_reference."""
        return self.chosen - self.reference_chosen

    @property
    def rejected_ratio(self) -> Tensor:
        return self.rejected - self.reference_rejected

    @property
    def margin_of_means(self) -> Tensor:
        return self.chosen_ratio / self.chosen_tokens - self.rejected_ratio / self.rejected_tokens


@dataclass(frozen=True)
class Settings:
    """The constants of the losses above."""

    beta: float = 0.1
    label_smoothing: float = 0.0  # e of robust and cdpo
    gamma: float = 0.5  # the margin of simpo
    odds_weight: float = 1.0  # lambda of orpo


# --- the losses: from P pairs to the loss of each, [P] ------------------------------------------


def sigmoid(pair: Completions, s: Settings) -> Tensor:
    return -F.logsigmoid(s.beta * (pair.chosen_ratio - pair.rejected_ratio))


def sigmoid_norm(pair: Completions, s: Settings) -> Tensor:
    return -F.logsigmoid(s.beta * pair.margin_of_means)


def hinge(pair: Completions, s: Settings) -> Tensor:
    return torch.relu(1 - s.beta * (pair.chosen_ratio - pair.rejected_ratio))


def ipo(pair: Completions, s: Settings) -> Tensor:
    return (pair.margin_of_means - 1 / (2 * s.beta)).square()


def robust(pair: Completions, s: Settings) -> Tensor:
    margin, e = s.beta * (pair.chosen_ratio - pair.rejected_ratio), s.label_smoothing
    return (-(1 - e) * F.logsigmoid(margin) + e * F.logsigmoid(-margin)) / (1 - 2 * e)


def cdpo(pair: Completions, s: Settings) -> Tensor:
    margin, e = s.beta * (pair.chosen_ratio - pair.rejected_ratio), s.label_smoothing
    return -(1 - e) * F.logsigmoid(margin) - e * F.logsigmoid(-margin)


def apo_zero(pair: Completions, s: Settings) -> Tensor:
    return 1 - torch.sigmoid(s.beta * pair.chosen_ratio) + torch.sigmoid(s.beta * pair.rejected_ratio)


def simpo(pair: Completions, s: Settings) -> Tensor:
    means = pair.chosen / pair.chosen_tokens - pair.rejected / pair.rejected_tokens
    return -F.logsigmoid(s.beta * means - s.gamma)


def orpo(pair: Completions, s: Settings) -> Tensor:
    chosen, rejected = pair.chosen / pair.chosen_tokens, pair.rejected / pair.rejected_tokens
    log_odds_ratio = (chosen - rejected) - (log1mexp(chosen) - log1mexp(rejected))
    return -chosen - s.odds_weight * F.logsigmoid(log_odds_ratio)


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x < 0, without loss of precision (Maechler 2012, Rmpfr's note on log1mexp).

    x = 0, a probability of 1, is replaced by the nearest negative number, so that the odds stay finite.
    """
    x = x.clamp(max=-torch.finfo(x.dtype).tiny)
    near = x > -math.log(2)
    # The second branch gets a safe x where the first is chosen: `where` would pass on its non-finite gradient.
    return torch.where(near, torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(torch.where(near, -1.0, x))))


LOSSES: dict[str, Callable[[Completions, Settings], Tensor]] = {
    one.__name__: one for one in (sigmoid, sigmoid_norm, hinge, ipo, robust, cdpo, apo_zero, simpo, orpo)
}
WITHOUT_REFERENCE = frozenset({"simpo", "orpo"})


def at_the_start(name: str, settings: Settings) -> float | None:
    """The loss while the policy equals the reference; None if it depends on the data."""
    if name in WITHOUT_REFERENCE:
        return None
    zero = torch.zeros(1, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    return LOSSES[name](Completions(zero, zero, one, one, zero, zero), settings).item()
