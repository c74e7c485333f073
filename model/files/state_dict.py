"""Weights by name: what belongs in a state dict, whether one fits a network, and which network fits one."""

import sys
from pathlib import Path

import torch

from model.config import TransformerConfig
from model.errors import SproutError, UsageError
from model.families import network_of
from model.misfit import misfit
from model.transformer import Transformer
from model.undrawn import Undrawn
from model.whole import EMBEDDING, HEAD

# Tables computed from the configuration, which older programs saved beside the weights.
_COMPUTED = ("freqs_cos", "freqs_sin", "inv_freq")
# Where programs keep the weights in a checkpoint that holds more: MiniMind and others, Lightning, PyTorch's tutorials,
# DeepSpeed.
_WRAPPERS = ("model", "state_dict", "model_state_dict", "module")
_OURS = {"format", "identity"}  # keys of weights and of states to resume from


def fitting_state_dict(
    weights: dict[str, torch.Tensor],
    config: TransformerConfig,
    source: str | Path,
    network: type[Transformer] | None = None,
) -> dict[str, torch.Tensor]:
    """`weights` without what can be computed (a tied head, rotary tables), if they fit a `network` of `config` exactly.

    network: None is the language model.

    Raises `SproutError` that names the first missing, unexpected or misshapen parameters.
    """
    weights = {name: tensor for name, tensor in weights.items() if name.split(".")[-1] not in _COMPUTED}
    if config.tie_word_embeddings and HEAD in weights and EMBEDDING in weights:
        if not torch.equal(weights[HEAD], weights[EMBEDDING]):
            raise SproutError(f"{source} says that head and embedding are tied, but holds two different ones")
        del weights[HEAD]

    with torch.device("meta"), Undrawn():  # shapes without memory
        expected = (network or network_of(config))(config, initialize_weights=False).state_dict()
    if config.tie_word_embeddings:
        expected.pop(HEAD, None)
    if problems := misfit(weights, expected):
        raise SproutError(f"{source} does not hold its {config.model_type} network: {problems}")
    return weights


def is_bare_state_dict(contents: dict) -> bool:
    """Whether a checkpoint is parameters by name and nothing else, as MiniMind and many others save them."""
    return bool(contents) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in contents.items()
    )


def bare_state_dict(contents: dict, source: str | Path) -> dict[str, torch.Tensor] | None:
    """The weights in a checkpoint that is a bare state dict, or has one beside the state of its training, under their
    own names; None for anything else, such as a file of ours.

    Raises `SproutError` as `without_wrappers` does.
    """
    inner = [contents.get(key) for key in _WRAPPERS if not _OURS & contents.keys()]
    weights = next((each for each in [contents, *inner] if isinstance(each, dict) and is_bare_state_dict(each)), None)
    return None if weights is None else without_wrappers(weights, source)


def without_wrappers(weights: dict[str, torch.Tensor], source: str | Path) -> dict[str, torch.Tensor]:
    """The weights by the names they had before torch.compile (`_orig_mod.`) or DistributedDataParallel (`module.`).

    Raises `SproutError` where two of them then have one name.
    """
    plain: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        own = name.replace("_orig_mod.", "")
        while own.startswith("module."):
            own = own.removeprefix("module.")
        if own in plain:
            raise SproutError(f"{source} holds {own} twice, once behind a prefix: save the network's own state dict")
        plain[own] = tensor
    return plain


def config_of_state_dict(weights: dict[str, torch.Tensor], wanted: dict, source: str | Path) -> TransformerConfig:
    """The configuration of a bare state dict under HF Llama names, read from its shapes.

    wanted: what the user says, for what shapes do not tell: the number of heads (else 8, MiniMind's, unless
    q_norm tells), `rope_theta` (1e6), `rms_norm_eps` (1e-5) and so on. Raises `UsageError` where it contradicts the
    shapes, `SproutError` for a network that is not one of ours.
    """
    if any(".experts." in name or name.endswith("mlp.gate.weight") for name in weights):
        raise SproutError(
            f"{source} is a mixture of experts, and weights alone do not say how many of them a token takes: give a"
            " Qwen3-MoE folder of Hugging Face, or a dense model"
        )
    first = "model.layers.0."
    needed = [EMBEDDING] + [first + name for name in ("self_attn.q_proj.weight", "self_attn.k_proj.weight")]
    needed.append(first + "mlp.gate_proj.weight")
    absent = [name for name in needed if name not in weights or weights[name].dim() != 2]
    if absent:
        raise SproutError(
            f"{source} is not a Llama, Qwen2 or Qwen3 by Hugging Face's names: {absent[0]} is missing,"
            f" found {', '.join(list(weights)[:3])}, ..."
        )
    vocab, hidden = weights[EMBEDDING].shape
    query_width, kv_width = weights[needed[1]].shape[0], weights[needed[2]].shape[0]
    q_norm = weights.get(first + "self_attn.q_norm.weight")

    heads = wanted.get("num_attention_heads")
    if q_norm is not None:
        heads = query_width // q_norm.shape[0]
    elif heads is None:
        heads = 8
        print(
            f"note: {source} does not say how many heads it has: 8 are assumed (--num_attention_heads)",
            file=sys.stderr,
        )
    if heads < 1 or query_width % heads or kv_width % (query_width // heads):
        raise UsageError(
            f"{source} cannot have {heads} attention heads: its queries are {query_width} wide, its keys {kv_width}"
        )
    head_dim = query_width // heads
    found = {
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": weights[needed[3]].shape[0],
        "num_hidden_layers": 1 + max(int(name.split(".")[2]) for name in weights if _in_layer(name)),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_width // head_dim,
        "head_dim": head_dim,
        "attention_bias": first + "self_attn.q_proj.bias" in weights,
        "qk_norm": q_norm is not None,
        "tie_word_embeddings": HEAD not in weights or torch.equal(weights[HEAD], weights[EMBEDDING]),
    }
    refuse_contradictions(found, wanted, source)
    return TransformerConfig(**(wanted | found))


def _in_layer(name: str) -> bool:
    parts = name.split(".")
    return len(parts) > 3 and parts[:2] == ["model", "layers"] and parts[2].isdecimal()


class Contradiction(UsageError):
    """A flag that says another size than a weight has."""


def refuse_contradictions(found: dict, wanted: dict, source: str | Path) -> None:
    """Raises `Contradiction` where the user's `wanted` differs from what was `found` in the file."""
    for name, value in wanted.items():
        if name in found and found[name] != value:
            flag, has = f"--{name} {value}", f"has {found[name]}"
            if isinstance(value, bool):  # a switch
                flag, has = (f"--{name}", "goes without") if value else (f"--no_{name}", "has it")
            raise Contradiction(f"{flag} contradicts {source}, which {has}: leave the flag out")
