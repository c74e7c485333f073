"""Folders of Qwen3-MoE: the keys of `config.json`, and the weights of experts, which have a name each in a file.

    in memory   model.layers.0.mlp.experts.up_proj.weight [E, F, D]
    in a file   model.layers.0.mlp.experts.0.up_proj.weight [F, D] to model.layers.0.mlp.experts.7.up_proj.weight

transformers 5 stacks them in memory in its own way (`gate_up_proj`), and writes files as its version 4 did.
"""

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from model.errors import SproutError
from model.experts import ExpertsConfig

_STACK, _ONE = re.compile(r"(.+\.mlp\.experts)\.(\w+_proj\.weight)"), re.compile(r"(.+\.mlp\.experts)\.(\d+)\.(.+)")


def keys_of_experts(config: ExpertsConfig) -> dict:
    """The keys of `config.json` that a dense network does not have."""
    names = "num_experts num_experts_per_tok moe_intermediate_size norm_topk_prob router_aux_loss_coef".split()
    return {name: getattr(config, name) for name in names} | {
        "decoder_sparse_step": 1,  # every layer has experts
        "mlp_only_layers": [],
        "output_router_logits": False,
    }


def sizes_of_experts(values: dict, refuse: Callable[[str], None], folder: str | Path) -> tuple[type, dict]:
    """The class of the configuration, and the fields of it that only networks with experts have.

    Absent keys take the defaults of transformers. Calls `refuse` for layers of other kinds, raises `SproutError` for
    values that no key can have.
    """
    if values.get("decoder_sparse_step", 1) != 1 or values.get("mlp_only_layers"):
        refuse("has layers without experts among those with some (decoder_sparse_step, mlp_only_layers)")
    if shared := next((key for key in values if key.startswith(("shared_expert", "n_shared_expert"))), None):
        refuse(f"has experts that every token takes ({shared})")
    defaults = {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768}
    # Under the name `num_local_experts`, transformers 5 knows the number of experts, too.
    given = {"num_experts": values["num_local_experts"]} if "num_local_experts" in values else {}
    sizes = defaults | given | {name: values[name] for name in defaults if name in values}
    for name, value in sizes.items():
        if type(value) is not int or value < 1:
            raise SproutError(f"{folder}/config.json: {name} is {value!r}, but must be a whole number of at least 1")
    if not isinstance(normalised := values.get("norm_topk_prob", False), bool):
        raise SproutError(f"{folder}/config.json: norm_topk_prob is {normalised!r}, but must be true or false")
    return ExpertsConfig, sizes | {
        "intermediate_size": sizes["num_experts_per_tok"] * sizes["moe_intermediate_size"],
        "norm_topk_prob": normalised,
        "router_aux_loss_coef": values.get("router_aux_loss_coef", 0.001),
    }


def unstacked(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights by the names that files have; those of experts are views of their stacks."""
    found = {}
    for name, tensor in weights.items():
        if match := _STACK.fullmatch(name):
            found |= {f"{match[1]}.{e}.{match[2]}": one for e, one in enumerate(tensor)}
        else:
            found[name] = tensor
    return found


def stacked(weights: dict[str, Tensor], count: int, source: str | Path) -> dict[str, Tensor]:
    """The inverse of `unstacked`, for `count` experts. Raises `SproutError` where one is missing or misshapen."""
    stacks: dict[str, dict[int, Tensor]] = {}
    found = {}
    for name, tensor in weights.items():
        if match := _ONE.fullmatch(name):
            stacks.setdefault(f"{match[1]}.{match[3]}", {})[int(match[2])] = tensor
        else:
            found[name] = tensor
    for name, experts in stacks.items():
        if sorted(experts) != list(range(count)):
            raise SproutError(f"{source} holds {len(experts)} experts in {name}, not the {count} of its config.json")
        if len({(each.shape, each.dtype) for each in experts.values()}) > 1:
            raise SproutError(f"{source} holds experts of different shapes or types in {name}: download it again")
        found[name] = torch.stack([experts[e] for e in range(count)])
    return found
