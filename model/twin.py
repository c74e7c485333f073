"""A tiny network made by the same code as another: an edit of the code shows in it at once, at any size of the other.

It says nothing of the weights. What a script exchanges in a network that is made already, `functions_of` shows.
"""

import dataclasses

import torch
from torch import nn

from model.transformer import Transformer
from model.undrawn import Undrawn


@torch.no_grad()
def twin_of(model: Transformer) -> Transformer:
    """A network of the same class, depth, options and adapters: two groups of two small heads, float32, on the CPU.

    Every parameter is drawn at random, from a generator of its own, so that none is without effect, as zeros would be.
    The matrices are large enough that each token attends to a few others, near and far.
    """
    config, lora = model.config, model.lora
    head_dim, groups = min(config.head_dim, 8), min(config.num_key_value_heads, 2)
    heads = groups * min(config.num_attention_heads // config.num_key_value_heads, 2)
    sizes = {"vocab_size": 64, "hidden_size": 2 * head_dim, "intermediate_size": 16, "head_dim": head_dim}
    if hasattr(config, "num_experts"):
        sizes |= {"num_experts": 4, "num_experts_per_tok": min(config.num_experts_per_tok, 2)}
    with torch.device("cpu"), Undrawn():
        twin = type(model)(
            config.replace(num_attention_heads=heads, num_key_value_heads=groups, **sizes), initialize_weights=False
        )
        if lora is not None:
            from model.lora import add_lora  # other networks do not load it

            add_lora(twin, dataclasses.replace(lora, rank=2, alpha=2 * lora.scale))
    generator = torch.Generator().manual_seed(0)
    for parameter in twin.parameters():
        values = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(2 * values / parameter.shape[-1] ** 0.5 if parameter.dim() > 1 else 1 + values / 5)
    return twin.eval()  # without dropout


def functions_of(network: nn.Module) -> list:
    """What each of its parts computes with: as in its twin, unless a part or its `forward` is another one by now.

    Not the classes of the parts, for FSDP gives them others, which compute with the same functions.
    """
    parts = (part for _, part in network.named_modules(remove_duplicate=False))
    return [getattr(part.forward, "__func__", part.forward) for part in parts]
