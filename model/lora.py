"""LoRA: what fine-tuning adds to a matrix, learned as the product of two thin ones (https://arxiv.org/abs/2106.09685).

    y = W x + b + (alpha / rank) B A x          A [rank, in], B [out, rank]

W and b stay as they are; A and B learn. B begins at zero, so the network begins exactly as it was. Afterwards the
product is added to W once and for all (`merge_lora`), or kept apart: a few per cent of the network, one for each task.

The names are those of Hugging Face's `peft` (`...q_proj.lora_A.weight`), as the network's are those of `transformers`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from model.errors import SproutError, UsageError
from model.fingerprint import fingerprint
from model.misfit import misfit
from model.whole import adapters_of, is_adapter, unwrapped

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
TARGETS = (*ATTENTION, *MLP)  # every linear layer of a block


@dataclass(frozen=True)
class Lora:
    """Everything about adapters except their weights."""

    rank: int
    alpha: float
    targets: tuple[str, ...] = TARGETS  # the linear layers that have one, in every block
    dropout: float = 0.0  # on the input of A, in training
    base: str | None = None  # `fingerprint` of the network they belong to; None where it is unknown
    base_path: str | None = None  # where that network was

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


class LoRALinear(nn.Linear):
    """A linear layer and its adapter. Takes over weight and bias of `linear`; A and B are float32, on its device."""

    def __init__(self, linear: nn.Linear, lora: Lora):
        with torch.device("meta"):  # no memory for a weight that is replaced at once
            super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None)
        self.weight, self.bias, self.scale = linear.weight, linear.bias, lora.scale
        kind = {"bias": False, "device": linear.weight.device, "dtype": torch.float32}
        self.lora_A = nn.Linear(self.in_features, lora.rank, **kind)
        self.lora_B = nn.Linear(lora.rank, self.out_features, **kind)
        self.dropout = nn.Dropout(lora.dropout)
        self.train(linear.training)
        # A as peft draws it: uniform, of the variance 1 / (3 in) (Kaiming's with a slope of sqrt(5)).
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: Tensor) -> Tensor:
        # In place, since copies would leave holes in the heap of a CPU, between what the backward pass reads. But not
        # in the product of W, which `model/recomputation.py` may keep.
        return self.lora_B(self.lora_A(self.dropout(x))).mul_(self.scale).add_(super().forward(x))

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The plain layer W + (alpha / rank) B A, which computes the same. Changes `weight` in place."""
        with torch.device("meta"):
            linear = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None)
        self.weight += self.scale * self.lora_B.weight @ self.lora_A.weight
        linear.weight, linear.bias = self.weight, self.bias
        return linear


def add_lora(model: nn.Module, lora: Lora) -> None:
    """Gives every layer that `lora.targets` names an adapter and freezes everything else, in place.

    The A are drawn from torch's global random generator. Raises `UsageError` for settings that make no sense.
    """
    if adapters_of(model) is not None:
        raise UsageError("the network has adapters already: merge them first (scripts/merge_lora.py)")
    if unknown := [name for name in lora.targets if name not in TARGETS]:
        raise UsageError(f"there is no linear layer {unknown[0]!r} in a block: they are {', '.join(TARGETS)}")
    if not lora.targets:
        raise UsageError("adapters need at least one linear layer to adapt")
    if not 1 <= lora.rank <= unwrapped(model).config.hidden_size:
        hidden = unwrapped(model).config.hidden_size
        raise UsageError(f"adapters of rank {lora.rank} do not suit a network of width {hidden}: give 1 to {hidden}")
    first = unwrapped(model).model.layers[0]  # a GPT-2 has no gate_proj
    lora = replace(lora, targets=tuple(name for name in lora.targets if hasattr(_parent(first, name), name)))
    if not lora.targets:
        raise UsageError("adapters need at least one linear layer to adapt, and this network has none of those named")
    model.requires_grad_(False)
    for layer in unwrapped(model).model.layers:
        for name in lora.targets:
            parent = _parent(layer, name)
            setattr(parent, name, LoRALinear(getattr(parent, name), lora))
    unwrapped(model).lora = lora


def merge_lora(model: nn.Module) -> None:
    """Adds every adapter to its weight, in place: a plain network again, which computes the same and can learn."""
    network = unwrapped(model)
    for layer in network.model.layers:
        for name in network.lora.targets:
            parent = _parent(layer, name)
            setattr(parent, name, getattr(parent, name).merged())
    network.lora = None
    model.requires_grad_(True)


def _parent(layer: nn.Module, name: str) -> nn.Module:
    return layer.self_attn if name in ATTENTION else layer.mlp


def lora_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The adapters alone, on the CPU: `model.layers.0.self_attn.q_proj.lora_A.weight` and so on."""
    state = unwrapped(model).state_dict()
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items() if is_adapter(name)}


def load_lora(model: nn.Module, weights: Mapping[str, Tensor], source: str, partial: bool = False) -> None:
    """Copies adapters into a network that `add_lora` made ready for them, all of them or none.

    partial: layers without an adapter are left as they begin, changing nothing. Raises `SproutError`, with `source` in
    it, that names what is missing, unknown or of another shape.
    """
    own = {name: p for name, p in unwrapped(model).named_parameters() if is_adapter(name)}
    if partial:
        present = {name.rsplit(".lora_", 1)[0] for name in weights}
        own = {name: parameter for name, parameter in own.items() if name.rsplit(".lora_", 1)[0] in present}
    if problems := misfit(weights, own):
        raise SproutError(f"{source} does not fit the network: {problems}")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(weights[name])


def attach_lora(
    model: nn.Module,
    lora: Lora,
    weights: Mapping[str, Tensor],
    source: str,
    partial: bool = False,
    tokenizer_path: str | None = None,
) -> None:
    """Puts opened adapters on the network they were trained on; any other is refused (`SproutError`).

    partial: some of the layers may have none. tokenizer_path: that of their training, if it was given, with which the
    network may have had more embeddings.
    """
    if lora.base is not None and lora.base != fingerprint(model):
        where = f" ({lora.base_path}, as it was then)" if lora.base_path else ""
        told = f", with --tokenizer_path {tokenizer_path} as in training" if tokenizer_path else ""
        raise SproutError(
            f"{source} was trained on another network{where} and means nothing on this one: give the one it belongs"
            f" to{told}"
        )
    try:
        add_lora(model, lora)
    except UsageError as error:  # not the user's command line
        raise SproutError(f"{source}: {error}") from error
    load_lora(model, weights, source, partial)


def targets_called(names: Sequence[str]) -> tuple[str, ...]:
    """The linear layers that words (`all`, `attention`, `mlp`, or one layer) name, in their order in a block."""
    groups = {"all": TARGETS, "attention": ATTENTION, "mlp": MLP}
    chosen = {target for name in names for target in groups.get(name, (name,))}
    return (*(name for name in TARGETS if name in chosen), *sorted(chosen - {*TARGETS}))
