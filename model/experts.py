"""A mixture of experts in place of the MLP, as in Qwen3-MoE (https://arxiv.org/abs/2505.09388).

A layer has E small MLPs, its experts, and a router. The router chooses k of them for each token:

    p = softmax(W x)                                      over all E experts, in float32
    y = sum over the k largest p_e of  g_e * expert_e(x)          g_e = p_e, or p_e / (the sum of the k largest)

So a network has many parameters, and a token costs what few of them cost. Every token gets its k experts, however many
tokens choose the same one: there is no capacity, and none is dropped. That experts are chosen about equally often
follows from a term of the loss (`training/engine/balance.py`).

Shapes: N tokens, D hidden size, E experts, k experts for a token, F inner size of an expert.
"""

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import TransformerConfig, is_positive_number
from model.errors import UsageError
from model.grouped import Reordered, grouped_product


@dataclass(frozen=True)
class ExpertsConfig(TransformerConfig):
    """The sizes of a network whose every layer has experts; key names are those of Qwen3-MoE's `config.json`.

    `intermediate_size` is the inner width that a token passes through, k * F. So a network with experts and a dense
    one of the same sizes have the same number of active parameters, but for the routers.
    """

    model_type: str = "qwen3_moe"  # a field, so that a weight says which network it is
    qk_norm: bool = True
    num_experts: int = 8
    num_experts_per_tok: int = 2
    moe_intermediate_size: int | None = None  # F; None: intermediate_size / num_experts_per_tok
    norm_topk_prob: bool = True  # whether the k weights of a token sum to one
    router_aux_loss_coef: float = 0.01

    @classmethod
    def of(cls, config: TransformerConfig) -> "ExpertsConfig":
        """The dense network `config` with experts in place of its MLPs, of as many active parameters."""
        return cls(**config.to_dict() | {"qk_norm": True})

    def __post_init__(self):
        super().__post_init__()
        for name in ("num_experts", "num_experts_per_tok"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)!r}, but must be a whole number of at least 1")
        k, width = self.num_experts_per_tok, self.intermediate_size
        if k > self.num_experts:
            raise UsageError(f"num_experts_per_tok {k} is more than num_experts {self.num_experts}: choose fewer")
        if self.moe_intermediate_size is None:
            if width % k:
                raise UsageError(f"intermediate_size {width} cannot be divided among {k} experts: choose another")
            object.__setattr__(self, "moe_intermediate_size", width // k)
        if k * self.moe_intermediate_size != width:
            raise UsageError(
                f"intermediate_size {width} is not num_experts_per_tok {k} times moe_intermediate_size"
                f" {self.moe_intermediate_size}: give only one of the two sizes"
            )
        if k == 1 and self.norm_topk_prob:
            raise UsageError(
                "with one expert for a token and norm_topk_prob its weight is always 1, so no gradient reaches the"
                " router and it learns nothing: take --num_experts_per_tok 2, or --no_norm_topk_prob"
            )
        if self.router_aux_loss_coef != 0 and not is_positive_number(self.router_aux_loss_coef):
            raise UsageError(f"router_aux_loss_coef is {self.router_aux_loss_coef!r}, but must be at least 0")
        if self.attention_bias or not self.qk_norm:
            raise UsageError(
                "networks with experts are those of Qwen3-MoE, with qk_norm and without attention_bias: leave both out"
            )

    def replace(self, **changes) -> "ExpertsConfig":
        """As `TransformerConfig.replace`; of F and the width of all chosen experts, one follows the other."""
        if "moe_intermediate_size" in changes:
            k = changes.get("num_experts_per_tok", self.num_experts_per_tok)
            changes = {"intermediate_size": k * changes["moe_intermediate_size"]} | changes
        elif {"intermediate_size", "num_experts_per_tok"} & changes.keys():
            changes["moe_intermediate_size"] = None
        return super().replace(**changes)

    def num_parameters(self) -> int:
        idle = (self.num_experts - self.num_experts_per_tok) * 3 * self.hidden_size * self.moe_intermediate_size
        return self.active_parameters() + self.num_hidden_layers * idle

    def active_parameters(self) -> int:
        return super().num_parameters() + self.num_hidden_layers * self.num_experts * self.hidden_size


class Stack(nn.Module):
    """The matrices of one kind of all experts of a layer, [E, outputs, inputs]."""

    def __init__(self, count: int, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, outputs, inputs))


class StackedMLPs(nn.Module):
    """The experts of a layer: E times SwiGLU."""

    def __init__(self, config: ExpertsConfig):
        super().__init__()
        count, outer, inner = config.num_experts, config.hidden_size, config.moe_intermediate_size
        self.gate_proj, self.up_proj = Stack(count, outer, inner), Stack(count, outer, inner)
        self.down_proj = Stack(count, inner, outer)

    def forward(self, x: Tensor, ends: Tensor) -> Tensor:
        """x: rows [n, D] in the order of their experts; expert e has those from ends[e - 1] to ends[e]. [n, D]"""
        autocast = torch.is_autocast_enabled(x.device.type)
        dtype = torch.get_autocast_dtype(x.device.type) if autocast else self.up_proj.weight.dtype
        x = x.to(dtype)
        gate = grouped_product(x, self.gate_proj.weight.to(dtype), ends)
        up = grouped_product(x, self.up_proj.weight.to(dtype), ends)
        return grouped_product(F.silu(gate) * up, self.down_proj.weight.to(dtype), ends)


class Experts(nn.Module):
    """Router and experts of a layer, in place of its MLP. `gate` is the router, as Qwen3-MoE calls it.

    balance: what training adds to the gradient of the probabilities (`training.engine.balance`); None: nothing.
    """

    balance = None

    def __init__(self, config: ExpertsConfig):
        super().__init__()
        self.gate = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        self.experts = StackedMLPs(config)
        self.chosen, self.normalised = config.num_experts_per_tok, config.norm_topk_prob

    # Not compiled: how many tokens an expert gets is another number each time, for which all would be compiled again.
    @torch.compiler.disable
    def forward(self, x: Tensor) -> Tensor:
        rows, k = x.flatten(0, -2), self.chosen  # [N, D]
        probabilities = self.probabilities(rows)  # [N, E]
        experts = probabilities.topk(k).indices  # [N, k]
        by_expert, order = experts.flatten().sort(stable=True)  # [N k]: a row for each choice
        ends = torch.searchsorted(by_expert, torch.arange(len(self.gate.weight), device=x.device), right=True)
        if self.balance is not None:
            probabilities = self.balance(probabilities, experts)
        weights = probabilities.gather(-1, experts)
        if self.normalised:
            weights = weights / weights.sum(-1, keepdim=True)
        inverse = order.argsort()
        found = self.experts(Reordered.apply(rows, order, inverse, k), ends)
        found = Reordered.apply(found, inverse, order, 1).unflatten(0, (-1, k))  # [N, k, D]
        return (found * weights.to(found.dtype)[..., None]).sum(1).view(x.shape)

    def probabilities(self, rows: Tensor) -> Tensor:
        """What the router gives each expert for rows [N, D]: [N, E], at least float32, whatever autocast says."""
        with torch.autocast(rows.device.type, enabled=False):
            wide = torch.promote_types(rows.dtype, torch.float32)
            return F.linear(rows.to(wide), self.gate.weight.to(wide)).softmax(-1)

    def converted(self, dtype: torch.dtype) -> "Experts":
        """The same for decoding: the experts in `dtype`, the router shared, and no balance, which only training has."""
        converted = copy.copy(self)
        converted.balance = None
        converted._modules = {"gate": self.gate, "experts": copy.deepcopy(self.experts).requires_grad_(False).to(dtype)}
        return converted
