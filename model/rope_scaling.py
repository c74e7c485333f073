"""Rotary positions stretched to longer texts, in the three ways whose frequencies do not depend on the text.

* linear: every pair of dimensions turns slower by `factor` (https://arxiv.org/abs/2306.15595).
* llama3: pairs that turn fewer than `low_freq_factor` times over the original length are slowed by `factor`, those
  that turn more than `high_freq_factor` times keep their speed, and those between are blended (Llama 3.1).
* yarn: as llama3 with another blend, and the attention becomes a little sharper (https://arxiv.org/abs/2309.00071).

The order of the operations is that of `transformers`, so that the last bits agree.
"""

import math
import sys

import torch
from torch import Tensor

from model.errors import UsageError
from model.undrawn import Undrawn

MOST_POSITIONS = 2**24  # `attention.rotary_tables` has positions in float32, which beyond this skips whole numbers
# Per type the keys of `rope_scaling`: those that must be there, and those that may.
KEYS = {
    "linear": (("factor",), ()),
    "llama3": (("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"), ()),
    "yarn": (("factor",), ("original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow")),
}


def kind_of(scaling: dict) -> str | None:
    """The type of a `rope_scaling`, a key of `KEYS`; older files have it under `type`."""
    return scaling.get("rope_type", scaling.get("type"))


def _is_positive(value) -> bool:
    """As `model.config.is_positive_number`: that module asks this one."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= sys.float_info.max


def check_scaling(scaling: dict) -> None:
    """Raises `UsageError` for a `rope_scaling` whose frequencies cannot be computed."""
    kind = kind_of(scaling) if isinstance(scaling, dict) else None
    fits = isinstance(kind, str) and kind in KEYS and _is_positive(scaling.get("factor"))
    if not fits or scaling["factor"] < 1:
        raise UsageError(
            f"rope_scaling {scaling} is not supported: give rope_type 'yarn', 'llama3' or 'linear' and a finite factor"
            " of at least 1"
        )
    needed, optional = KEYS[kind]
    for name in (*needed, *optional):
        if (name in needed or scaling.get(name) is not None) and not _is_positive(scaling.get(name)):
            raise UsageError(f"{name} of rope_scaling is {scaling.get(name)!r}, but must be a finite number above 0")
    if kind == "llama3" and scaling["low_freq_factor"] >= scaling["high_freq_factor"]:
        raise UsageError(
            f"low_freq_factor {scaling['low_freq_factor']} of rope_scaling must be below its high_freq_factor"
            f" {scaling['high_freq_factor']}"
        )


def stretched(periods: Tensor, head_dim: int, theta: float, scaling: dict, max_positions: int) -> tuple[Tensor, float]:
    """`attention.inverse_frequencies` of stretched positions, from `periods`, the positions per radian of each pair."""
    kind = kind_of(scaling)
    if kind == "linear":
        return 1.0 / periods / scaling["factor"], 1.0
    if kind == "llama3":
        return _llama3(1.0 / periods, scaling), 1.0
    return _yarn(periods, head_dim, theta, scaling, max_positions)


def _llama3(frequencies: Tensor, scaling: dict) -> Tensor:
    factor, low, high = (scaling[name] for name in ("factor", "low_freq_factor", "high_freq_factor"))
    length = scaling["original_max_position_embeddings"]
    wavelengths = 2 * math.pi / frequencies  # positions per full turn
    slowed = torch.where(wavelengths > length / low, frequencies / factor, frequencies)
    kept = (length / wavelengths - low) / (high - low)  # 1: the pair keeps its speed; 0: slowed by the whole factor
    blended = (1 - kept) * slowed / factor + kept * slowed
    between = ~(wavelengths < length / high) * ~(wavelengths > length / low)
    return torch.where(between, blended, slowed)


def _yarn(periods: Tensor, head_dim: int, theta: float, scaling: dict, max_positions: int) -> tuple[Tensor, float]:
    factor = float(scaling["factor"])
    original_length = scaling.get("original_max_position_embeddings") or max_positions

    def pair_that_turns(rotations: float) -> float:
        """Index of the pair that makes `rotations` full turns over the original length (YaRN, eq. 15)."""
        return head_dim * math.log(original_length / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(pair_that_turns(scaling.get("beta_fast") or 32.0)), 0)
    high = min(math.ceil(pair_that_turns(scaling.get("beta_slow") or 1.0)), head_dim - 1)
    ramp = (torch.arange(head_dim // 2, dtype=torch.float32, device="cpu") - low) / ((high - low) or 0.001)
    kept = 1 - ramp.clamp(0, 1)  # 1: the pair keeps its speed; 0: it is slowed by the whole factor
    frequencies = 1.0 / (factor * periods) * (1 - kept) + 1.0 / periods * kept
    return frequencies, float(scaling.get("attention_factor") or sharpening(factor))


def extended(model, factor: float, trained_on: int, source: str):
    """The network with the same weights, that reads texts `factor` times as long as it was trained on, by YaRN.

    It gets used to them by a short training on long texts. trained_on: how many positions it knows. source: what the
    network is called in errors. Raises `UsageError` for a factor or a network that cannot be.
    """
    config, before, reach = model.config, model.config.rope_scaling, round(trained_on * factor)
    if reach <= trained_on:
        raise UsageError(f"--rope_scaling_factor {factor:g} extends nothing: give more than 1, such as 4")
    if reach > MOST_POSITIONS:
        raise UsageError(
            f"--rope_scaling_factor {factor:g} makes of {trained_on:,} positions more than the {MOST_POSITIONS:,} that"
            " angles in float32 tell apart: give less"
        )
    if before is not None:
        raise UsageError(
            f"{source} is extended already, by {kind_of(before)} and factor {before['factor']:g} to"
            f" {config.max_position_embeddings} positions: leave --rope_scaling_factor out, or"
            " begin with the weight from before that"
        )
    scaling = {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": trained_on}
    config = config.replace(rope_scaling=scaling, max_position_embeddings=reach)
    with Undrawn():
        changed = type(model)(config, initialize_weights=False)
    changed.load_state_dict(model.state_dict())
    return changed


def in_words(config) -> str:
    """How far YaRN extends the positions of a network, for people."""
    scaling, reach = config.rope_scaling, config.max_position_embeddings
    before = scaling.get("original_max_position_embeddings") or reach
    return f"extended by YaRN from {before:,} to {reach:,} positions"


def sharpening(factor: float) -> float:
    """By how much YaRN multiplies cosine and sine, and so the attention by its square."""
    return 0.1 * math.log(factor) + 1.0 if factor > 1 else 1.0
