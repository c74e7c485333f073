"""Initial weights, every parameter by its name: an unknown name is an error, not a default.

What is chosen, and why (figures in docs/pretrain.md):

* Projections that read the residual stream: normal, standard deviation 1 / sqrt(fan in), which keeps the
  variance of what they compute near one at any width.
* `o_proj` and `down_proj`, which write into it: zero. Every layer begins as the identity, and the gradient
  reaches all of them undistorted. Slightly better than the usual scaling by
  1 / sqrt(2 layers).
* A tied embedding: standard deviation 2.5 / D. The final norm scales the embedding of the current token to
  length sqrt(D), so the logit of repeating that token begins at sqrt(D) * |e| = 2.5 at any width, and the
  loss at ln(vocabulary).
* Norms one, biases zero.
"""

import math

import torch
from torch import nn


def initialize(model: nn.Module) -> None:
    """Fills all parameters of a `Transformer` in place, from torch's global random generator."""
    tied = model.config.tie_word_embeddings
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _initialize_one(name, parameter, tied)


def _initialize_one(name: str, parameter: torch.Tensor, tied: bool) -> None:
    kind = ".".join(name.split(".")[-2:])
    if kind in ("q_proj.weight", "k_proj.weight", "v_proj.weight", "gate_proj.weight", "up_proj.weight"):
        parameter.normal_(std=1 / math.sqrt(parameter.shape[1]))
    elif kind in ("o_proj.weight", "down_proj.weight"):
        parameter.zero_()
    elif kind == "embed_tokens.weight":
        parameter.normal_(std=2.5 / parameter.shape[1] if tied else 0.02)
    elif kind == "lm_head.weight":
        parameter.normal_(std=1 / parameter.shape[1])
    elif kind.endswith("norm.weight"):
        parameter.fill_(1.0)
    elif kind in ("q_proj.bias", "k_proj.bias", "v_proj.bias"):
        parameter.zero_()
    else:
        raise ValueError(f"no initialisation is defined for the parameter {name}")
