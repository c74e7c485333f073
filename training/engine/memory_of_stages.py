"""What other stages keep for the backward pass than pretraining, which does not load this.

A reward model makes no logits. Conversations do not see each other, so their rows have a mask. And of what is frozen
less is kept: the gradient of a weight needs what the weight multiplies, but the gradient of that needs the weight
alone. So a frozen linear layer keeps no input, and a frozen norm no normed value. An adapter keeps the input that its
layer would have kept, since A multiplies it, and what A returns, since B does; with dropout also the random numbers.
"""

from dataclasses import replace

from torch import nn

from model.transformer import RMSNorm

# Linear layers that read the same. Autocast copies float32 values for each; in float32 they share one.
SHARED = ("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj")


def of_stage(footprint, model: nn.Module, rows):
    """`footprint`, a `training.engine.memory.Footprint`, with what is to be seen of `model` and its `rows`."""
    layers, head = model.model.layers, getattr(model, "lm_head", None)
    return replace(
        footprint,
        layers=sum(any(p.requires_grad for p in layer.parameters()) for layer in layers),
        masked=rows.kind.name != "text",
        head_learns=head and head.weight.requires_grad,
        unread=unread_by(layers[-1], footprint),
    )


def unread_by(layer: nn.Module, footprint) -> int:
    """Bytes per token that a `layer` keeps less than one that learns as a whole."""
    b, half = footprint.compute_bytes, footprint.compute_bytes == 2
    # Experts, who are stacked and not linear layers, are taken to keep all.
    layers = {name: each for name, each in layer.named_modules() if isinstance(each, nn.Linear)}
    linear = {name.split(".")[-1]: each for name, each in layers.items() if name.endswith("_proj")}
    read = {name for name, each in linear.items() if any(p.requires_grad for p in each.parameters())}
    unread = sum(4 * each.weight.numel() for each in layer.children() if isinstance(each, RMSNorm) and frozen(each))
    for name in ("q_norm", "k_norm"):  # of whole heads
        norm = getattr(layer.self_attn, name, None)
        if isinstance(norm, RMSNorm) and frozen(norm):
            unread += b * linear[name.replace("norm", "proj")].out_features
    for name, each in linear.items():
        shares = next((names for names in SHARED if name in names and not half), (name,))
        if name == shares[0] and not read.intersection(shares):
            # The kernels of attention keep their result themselves; `BlockAttention` leaves it to o_proj.
            unread += b * each.in_features if name != "o_proj" or footprint.keeps_attention else 0
        if hasattr(each, "lora_A") and name in read:
            unread -= b * each.lora_A.out_features
            if each.dropout.p:  # random numbers in the type of the input; in float32 no two share their product with it
                random = b if name in ("o_proj", "down_proj") else 4
                unread -= each.in_features * (random if half else random + b)
    return unread


def frozen(module: nn.Module) -> bool:
    return not any(parameter.requires_grad for parameter in module.parameters())
