"""A tiny network made by the same code as another: an edit of the code shows in it at once, at any size of the other.

It says nothing of the weights. What a script exchanges in a network that is made already, `functions_of` shows.
"""

import dataclasses

import torch
from torch import nn

from model.errors import UsageError
from model.transformer import Transformer
from model.undrawn import Undrawn

HOOKS = [f"_forward_{kind}hooks{more}" for kind in ("pre_", "") for more in ("", "_with_kwargs")]  # of an `nn.Module`


@torch.no_grad()
def twin_of(model: Transformer) -> Transformer:
    """A network of the same class, depth, options, hooks and adapters: two groups of two small heads, float32, CPU.

    Every parameter is drawn at random, from a generator of its own, so that none is without effect, as zeros would be.
    The matrices are large enough that each token attends to a few others, near and far, and the eps of the norms is so
    large that another one shows. Raises `UsageError` for a network that its code makes in one size alone.
    """
    try:
        twin = _made_small(model)
    except Exception as error:  # of whatever kind the edited code raises
        raise no_twin(error) from error
    generator = torch.Generator().manual_seed(0)
    for parameter in twin.parameters():
        values = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(2 * values / parameter.shape[-1] ** 0.5 if parameter.dim() > 1 else 1 + values / 5)
    parts = dict(twin.named_modules())
    for name, part in model.named_modules():
        if name not in parts:
            continue
        for hooks in HOOKS:
            own = {key: hook for key, hook in getattr(part, hooks).items() if not _of_fsdp(hook)}
            getattr(parts[name], hooks).update(own)
    return twin.eval()  # without dropout


def no_twin(error: Exception) -> UsageError:
    """error: what the code of a network raises in another size than its own."""
    return UsageError(
        f"the network cannot be made smaller ({error!r}): take all sizes in its code and hooks from the config, so that"
        " a small one can be compared with what writes and with what other programs compute"
    )


def _made_small(model: Transformer) -> Transformer:
    config, lora = model.config, model.lora
    head_dim, groups = min(config.head_dim, 8), min(config.num_key_value_heads, 2)
    heads = groups * min(config.num_attention_heads // config.num_key_value_heads, 2)
    sizes = {"vocab_size": 64, "hidden_size": 2 * head_dim, "intermediate_size": 16, "head_dim": head_dim}
    sizes |= {name: 0.5 for name in ("rms_norm_eps", "layer_norm_eps") if hasattr(config, name)}
    if hasattr(config, "num_experts"):
        sizes |= {"num_experts": 4, "num_experts_per_tok": min(config.num_experts_per_tok, 2)}
    with torch.device("cpu"), Undrawn():
        twin = type(model)(
            config.replace(num_attention_heads=heads, num_key_value_heads=groups, **sizes), initialize_weights=False
        )
        if lora is not None:
            from model.lora import add_lora  # other networks do not load it

            add_lora(twin, dataclasses.replace(lora, rank=2, alpha=2 * lora.scale))
    return twin


def functions_of(network: nn.Module) -> list:
    """What each of its parts computes with: as in its twin, unless a part or a method of it is another one by now.

    Without the classes and methods by which FSDP wraps the parts, for they compute with the same functions; and a class
    of training may say whose values it computes (`computes_as`).
    """
    found = []
    for _, part in network.named_modules(remove_duplicate=False):
        kinds = [kind for kind in vars(type(part)).get("computes_as", type(part)).__mro__ if not _of_fsdp(kind)]
        methods = {name: getattr(type(part), name, None) for name in vars(part)}
        own = {name: _function(getattr(part, name)) for name, method in methods.items() if callable(method)}
        found.append((kinds, {name: each for name, each in own.items() if each is not methods[name]}))
    return found


def _function(method):
    """That of a method, under what FSDP has put around it."""
    function = getattr(method, "__func__", method)
    if getattr(function, "__globals__", {}).get("__name__", "").startswith("torch.distributed."):
        return _function(function.__wrapped__)
    return function


def _of_fsdp(function) -> bool:
    return (getattr(function, "__module__", None) or "").startswith("torch.distributed.")
