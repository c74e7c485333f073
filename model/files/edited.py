"""What is exported computes what its name says: an edited network is no Llama any more, and is refused.

An export holds sizes and weights, no code: transformers, vLLM and llama.cpp compute with them what is written
down here, whatever an experiment has made of `model/transformer.py` and `model/attention.py`.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.attention import rotary_tables
from model.errors import UsageError
from model.whole import unwrapped

TOKENS, MOST_APART = 32, 0.01  # of a text that is computed in both ways; relative to its last hidden states


@torch.no_grad()
def refuse_edited(model: nn.Module) -> None:
    """Raises `UsageError` for a network that computes something else than the Llama, Qwen2 or Qwen3 of its sizes.

    The experts of a Qwen3-MoE, rotary frequencies, and a GPT-2 are taken as they are, and nothing is noticed that only
    shows in longer texts, such as a window of attention.
    """
    network = unwrapped(model)
    kind = network.config.model_type
    if kind == "gpt2":
        return
    if network.model.embed_tokens.weight.dtype != torch.float32:  # its rounding would look like an edit
        network = copy.deepcopy(network).float()
    was_training = network.training
    network.eval()  # without dropout
    try:
        tokens = torch.arange(TOKENS, device=network.model.embed_tokens.weight.device)[None] % network.config.vocab_size
        ours = network.features(tokens)
        published = _published_features_if_it_fits(network, tokens)
    finally:
        network.train(was_training)
    if published is None or (ours - published).norm() > MOST_APART * published.norm():
        raise UsageError(
            f"this network is no {kind}: model/transformer.py or model/attention.py was edited, and other programs"
            " would compute something else with its weights; take the edit back, or keep the network here"
        )


def _published_features_if_it_fits(network: nn.Module, tokens: Tensor) -> Tensor | None:
    """`published_features`; None where a part of the network has another name or another shape, or is gone."""
    try:
        return published_features(network, tokens)
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, TypeError, RuntimeError):  # torch's error of shapes is a RuntimeError
        return None


def published_features(network: nn.Module, tokens: Tensor) -> Tensor:
    """The last hidden states [B, T, D] of texts `tokens` [B, T], as the papers and transformers have them.

    The matrices compute by themselves, so that adapters on them count.
    """
    config, (_, T), h = network.config, tokens.shape, network.config.head_dim

    def normed(x, norm):
        return norm.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + config.rms_norm_eps)

    def heads(product, x):
        return product(x).unflatten(-1, (-1, h)).transpose(1, 2)  # [B, heads, T, h]

    def turned(x):
        return x * cosine + torch.cat((-x[..., h // 2 :], x[..., : h // 2]), dim=-1) * sine

    positions = torch.arange(T, device=tokens.device)[None]
    cosine, sine = rotary_tables(positions, network.rotary_frequencies, network.rotary_factor)
    future = torch.ones(T, T, dtype=torch.bool, device=tokens.device).triu(1)
    x = F.embedding(tokens, network.model.embed_tokens.weight)
    for layer in network.model.layers:
        attention, y = layer.self_attn, normed(x, layer.input_layernorm)
        q, k, v = heads(attention.q_proj, y), heads(attention.k_proj, y), heads(attention.v_proj, y)
        if config.qk_norm:
            q, k = normed(q, attention.q_norm), normed(k, attention.k_norm)
        q, k = turned(q), turned(k)
        k, v = (each.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for each in (k, v))
        scores = (q @ k.mT / h**0.5).masked_fill(future, -torch.inf)
        x = x + attention.o_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(-2))
        y, mlp = normed(x, layer.post_attention_layernorm), layer.mlp
        is_dense = config.model_type != "qwen3_moe"
        x = x + (mlp.down_proj(F.silu(mlp.gate_proj(y)) * mlp.up_proj(y)) if is_dense else mlp(y))
    return normed(x, network.model.norm)
