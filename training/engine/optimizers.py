"""Which optimizer updates which parameter: parameter groups, and AdamW or Muon over them."""

import torch
from torch import nn

from model.whole import HEAD, SCORE
from training.engine.muon import Muon

ADAM_BETA1, ADAM_EPS = 0.9, 1e-8
# With Muon, AdamW updates the rest, at these multiples of Muon's learning rate. For the norms and a tied embedding
# of width 256, 1.5 was the best of 0.15, 0.5, 1.5 and 3 (docs/pretrain.md). One step changes a logit by up to
# width x the embedding's rate, so a wider embedding has a proportionally lower rate
# (https://arxiv.org/abs/2203.03466). An untied head and biases have the customary 0.15, which was not measured.
EMBEDDING_TIMES_MUON, EMBEDDING_WIDTH, NORM_TIMES_MUON, OTHERS_TIMES_MUON = 1.5, 256, 1.5, 0.15

MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lora_A", "lora_B")


def parameter_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The trainable parameters in five groups, each parameter in exactly one.

    `matrices`: those of the blocks, of experts in stacks; `head`: an untied output embedding, a scalar head, or the
    router of experts; `embeddings`; `norms`; `biases`. Weight decay acts on the first two only: norms and biases need
    not stay small, and the embedding of a rare token would decay to zero between its occurrences.

    Raises ValueError for a parameter of an unknown name or shape: its optimizer and rate must be chosen here first.
    """
    groups = {name: [] for name in ("matrices", "head", "embeddings", "norms", "biases")}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[_group_of(name, parameter)].append(parameter)
    return groups


def _group_of(name: str, parameter: nn.Parameter) -> str:
    module, kind = name.split(".")[-2:]
    group, dimensions = None, 1
    if name in (HEAD, SCORE) or module == "gate":  # a tied head is listed once, under the embedding's name
        group, dimensions = "head", 2
    elif module in ("embed_tokens", "embed_positions"):
        group, dimensions = "embeddings", 2
    elif module in MATRICES and kind == "weight":
        group, dimensions = "matrices", 3 if ".experts." in name else 2
    elif module.endswith("norm") and kind == "weight":
        group = "norms"
    elif kind == "bias" and module.endswith(("_proj", "norm")):
        group = "biases"
    if group is None or parameter.ndim != dimensions:
        raise ValueError(
            f"no optimizer is chosen for the parameter {name} of shape {list(parameter.shape)}:"
            " say in training/engine/optimizers.py which group it belongs to"
        )
    return group


def optimizers_for(model: nn.Module, args, learning_rate: float, machine) -> list[torch.optim.Optimizer]:
    """The optimizers of `model` that the flags ask for."""
    # GPUs without bfloat16 train in float16, and for Muon they are faster in float32 than in bfloat16.
    dtype = machine.choice.dtype
    muon_dtype = dtype if dtype == torch.bfloat16 else torch.float32
    built = build_optimizers(model, args.optimizer, learning_rate, args.weight_decay, args.adam_beta2, muon_dtype)
    if args.optimizer_memory == "compact":
        from training.engine.compact import made_compact  # only with the flag

        built = made_compact(built, model, args.offload_states)
    if machine.shards:
        return machine.shards.spread(model, built)
    if machine.device.type == "cuda" and args.optimizer == "muon":
        from training.engine.compiled_muon import compile_arithmetic  # only a GPU needs it

        compile_arithmetic(built, machine)
    return built


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
    if optimizer not in ("adamw", "muon"):
        raise ValueError(f"there is no optimizer {optimizer}")
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
