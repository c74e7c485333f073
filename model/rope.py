"""Rotary position embedding, and YaRN, which stretches it to longer texts.

RoPE (https://arxiv.org/abs/2104.09864) turns each pair of dimensions (i, i + h/2) of a head by the angle
`position * theta^(-2i/h)`, so that the product of a query and a key depends on their distance alone.
YaRN (https://arxiv.org/abs/2309.00071) slows the slow pairs down by `factor`, leaves the fast ones, blends
between, and makes the attention a little sharper.
"""

import math

import torch


def inverse_frequencies(
    head_dim: int, theta: float, scaling: dict | None, max_positions: int
) -> tuple[torch.Tensor, float]:
    """Angle per position of each pair, float32 [head_dim / 2], and the factor on cosine and sine.

    `scaling` has HF's keys: `factor`, and optionally `original_max_position_embeddings`, `beta_fast`,
    `beta_slow`, `attention_factor`. The order of the operations is HF's: a last bit of the frequency that differs
    is an angle that differs by thousandths at position 30,000.
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    periods = theta**exponents  # positions per radian
    if scaling is None:
        return 1.0 / periods, 1.0

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


def rotary_tables(
    positions: torch.Tensor, frequencies: torch.Tensor, factor: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine, each [B, 1, T, head_dim], float32, for positions [B, T]."""
    angles = positions[:, None, :, None].float() * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos() * factor, angles.sin() * factor


def rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Turns the heads `x` [B, H, T, head_dim]; the result has the dtype of `x`."""
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (x * cosine + turned * sine).to(x.dtype)
