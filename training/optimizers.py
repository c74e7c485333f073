"""Which parameter is updated by what: the groups, and AdamW or Muon over them."""

import torch
from torch import nn

from training.muon import Muon

ADAM_BETA1, ADAM_EPS = 0.9, 1e-8
# With Muon, embeddings, head and norms learn by AdamW at this share of Muon's learning rate (measured:
# docs/pretrain.md).
ADAM_SHARE_OF_MUON = 0.15


def parameter_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The trainable parameters in three groups, each parameter in exactly one.

    `matrices`: the 2-D weights of the blocks; `head`: an untied output embedding; `others`: embeddings, norms, biases.
    Weight decay acts on the first two only: a norm or bias has no scale to keep small, and an embedding row that is
    rarely seen would decay to nothing between its occurrences.
    """
    groups: dict[str, list[nn.Parameter]] = {"matrices": [], "head": [], "others": []}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim == 2 and ".layers." in name:
            groups["matrices"].append(parameter)
        elif name == "lm_head.weight":  # a tied head is listed once, under the embedding's name
            groups["head"].append(parameter)
        else:
            groups["others"].append(parameter)
    return groups


def optimizers_for(model: nn.Module, args, learning_rate: float, dtype: torch.dtype) -> list[torch.optim.Optimizer]:
    """The optimizers that the flags ask for, over `model`, for a run that computes in `dtype`."""
    # GPUs without bfloat16, which train in float16, are slower in bfloat16 than in float32.
    muon_dtype = dtype if dtype == torch.bfloat16 else torch.float32
    return build_optimizers(model, args.optimizer, learning_rate, args.weight_decay, args.adam_beta2, muon_dtype)


def build_optimizers(
    model: nn.Module,
    optimizer: str,
    learning_rate: float,
    weight_decay: float,
    adam_beta2: float = 0.95,
    muon_dtype: torch.dtype = torch.bfloat16,
) -> list[torch.optim.Optimizer]:
    """`adamw`: one AdamW for everything. `muon`: Muon for the matrices of the blocks, AdamW for the rest.

    Every group remembers its peak learning rate as `peak_lr`; the run sets `lr` from it at each step.
    """
    groups = parameter_groups(model)
    if optimizer == "adamw":
        adam_lr, decayed = learning_rate, groups["matrices"] + groups["head"]
    else:
        adam_lr, decayed = learning_rate * ADAM_SHARE_OF_MUON, groups["head"]
    adam_groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": groups["others"], "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = []
    if optimizer == "muon" and groups["matrices"]:
        optimizers.append(
            Muon(groups["matrices"], lr=learning_rate, weight_decay=weight_decay, compute_dtype=muon_dtype)
        )
    adam_groups = [group for group in adam_groups if group["params"]]
    if adam_groups:
        betas = (ADAM_BETA1, adam_beta2)
        optimizers.append(torch.optim.AdamW(adam_groups, lr=adam_lr, betas=betas, eps=ADAM_EPS, fused=True))
    for each in optimizers:
        for group in each.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers
