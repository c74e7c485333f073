"""Which parameter is updated by what: the groups, and AdamW or Muon over them."""

import torch
from torch import nn

from model.files.state_dict import HEAD, SCORE
from training.engine.muon import Muon

ADAM_BETA1, ADAM_EPS = 0.9, 1e-8
# With Muon, the rest learns by AdamW at these multiples of Muon's learning rate. For a tied embedding of
# width 256 and the norms, 1.5 was the best of 0.15, 0.5, 1.5 and 3 (docs/pretrain.md). One step changes a
# logit by up to width x rate of the embedding, so wider networks take proportionally less there
# (https://arxiv.org/abs/2203.03466). An untied head and biases keep the customary 0.15, which was not
# measured.
EMBEDDING_TIMES_MUON, EMBEDDING_WIDTH, NORM_TIMES_MUON, OTHERS_TIMES_MUON = 1.5, 256, 1.5, 0.15


def parameter_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The trainable parameters in five groups, each parameter in exactly one.

    `matrices`: the 2-D weights of the blocks; `head`: an untied output embedding, or a scalar head; `embeddings`;
    `norms`; `biases`. Weight decay acts on the first two only: a norm or bias has no scale to keep small, and an
    embedding row that is rarely seen would decay to nothing between its occurrences.
    """
    kinds = ("matrices", "head", "embeddings", "norms", "biases")
    groups: dict[str, list[nn.Parameter]] = {kind: [] for kind in kinds}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim == 2 and ".layers." in name:
            groups["matrices"].append(parameter)
        elif name in (HEAD, SCORE):  # a tied head is listed once, under the embedding's name
            groups["head"].append(parameter)
        elif name.endswith("embed_tokens.weight"):
            groups["embeddings"].append(parameter)
        elif name.endswith("norm.weight"):
            groups["norms"].append(parameter)
        else:
            groups["biases"].append(parameter)
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
    optimizers: list[torch.optim.Optimizer] = []
    times = dict.fromkeys(groups, 1.0)
    if optimizer == "muon":
        matrices = groups.pop("matrices")
        times = dict.fromkeys(groups, OTHERS_TIMES_MUON)
        times["norms"] = NORM_TIMES_MUON
        times["embeddings"] = EMBEDDING_TIMES_MUON * min(1.0, EMBEDDING_WIDTH / model.config.hidden_size)
        if matrices:
            optimizers.append(Muon(matrices, lr=learning_rate, weight_decay=weight_decay, compute_dtype=muon_dtype))
    adam_groups = [
        {
            "params": parameters,
            "lr": learning_rate * times[name],
            "weight_decay": weight_decay if name in ("matrices", "head") else 0.0,
        }
        for name, parameters in groups.items()
        if parameters
    ]
    if adam_groups:
        betas = (ADAM_BETA1, adam_beta2)
        optimizers.append(torch.optim.AdamW(adam_groups, betas=betas, eps=ADAM_EPS, fused=True))
    for each in optimizers:
        for group in each.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers
