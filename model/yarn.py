"""YaRN (https://arxiv.org/abs/2309.00071): rotary positions stretched to longer texts.

It slows the slow pairs of dimensions down by `factor`, leaves the fast ones, blends between, and makes the attention a
little sharper.
"""

import math

import torch
from torch import Tensor


def stretched(periods: Tensor, head_dim: int, theta: float, scaling: dict, max_positions: int) -> tuple[Tensor, float]:
    """`attention.inverse_frequencies` of stretched positions, from `periods`, the positions per radian of each pair.

    `scaling` has HF's keys: `factor`, and optionally `original_max_position_embeddings`, `beta_fast`,
    `beta_slow`, `attention_factor`.
    """
    factor = float(scaling["factor"])
    original_length = scaling.get("original_max_position_embeddings") or max_positions

    def pair_that_turns(rotations: float) -> float:
        """Index of the pair that makes `rotations` full turns over the original length (YaRN, eq. 15)."""
        return head_dim * math.log(original_length / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(pair_that_turns(scaling.get("beta_fast") or 32.0)), 0)
    high = min(math.ceil(pair_that_turns(scaling.get("beta_slow") or 1.0)), head_dim - 1)
    ramp = (torch.arange(head_dim // 2, dtype=torch.float32) - low) / max(high - low, 0.001)
    kept = 1 - ramp.clamp(0, 1)  # 1: the pair keeps its speed; 0: it is slowed by the whole factor
    frequencies = 1.0 / (factor * periods) * (1 - kept) + 1.0 / periods * kept
    attention_factor = scaling.get("attention_factor")
    if attention_factor is None:
        attention_factor = 0.1 * math.log(factor) + 1.0 if factor > 1 else 1.0
    return frequencies, float(attention_factor)
