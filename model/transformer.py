"""The network: a decoder-only Transformer, Llama / Qwen2 / Qwen3 by two switches of its configuration.

Parameters carry the names they have in Hugging Face's implementations, so that export renames nothing.
Shapes: B rows, T tokens, D hidden size, H query heads, K key/value heads, h head size, F inner size, V vocabulary.

A row is a sequence of documents, and position 0 begins a new one: a token sees the earlier tokens of its own
document and nothing else. This one rule serves packed rows (several examples side by side) and padding on the left
(the pads are a document of their own); padding on the right needs nothing, since no token looks ahead.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from model.attention import attend, inverse_frequencies, rotary_tables, rotate, visible
from model.config import TransformerConfig


class RMSNorm(nn.Module):
    """x / rms(x) * weight, the mean square taken in float32 (https://arxiv.org/abs/1910.07467)."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        normed = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * normed.to(x.dtype)


class Attention(nn.Module):
    """Causal self-attention; H / K query heads share a key/value head (GQA, https://arxiv.org/abs/2305.13245)."""

    def __init__(self, config: TransformerConfig, layer: int):
        super().__init__()
        self.layer, self.head_dim = layer, config.head_dim
        d, h, bias = config.hidden_size, config.head_dim, config.attention_bias
        self.q_proj = nn.Linear(d, config.num_attention_heads * h, bias=bias)
        self.k_proj = nn.Linear(d, config.num_key_value_heads * h, bias=bias)
        self.v_proj = nn.Linear(d, config.num_key_value_heads * h, bias=bias)
        self.o_proj = nn.Linear(config.num_attention_heads * h, d, bias=False)
        if config.qk_norm:
            self.q_norm = RMSNorm(h, config.rms_norm_eps)
            self.k_norm = RMSNorm(h, config.rms_norm_eps)
        else:
            self.q_norm = self.k_norm = nn.Identity()

    def forward(self, x, rotary, mask, cache):
        B, T, _ = x.shape
        q = self.q_norm(self.q_proj(x).view(B, T, -1, self.head_dim)).transpose(1, 2)  # [B, H, T, h]
        k = self.k_norm(self.k_proj(x).view(B, T, -1, self.head_dim)).transpose(1, 2)  # [B, K, T, h]
        v = self.v_proj(x).view(B, T, -1, self.head_dim).transpose(1, 2)  # [B, K, T, h]
        # Under autocast a norm returns float32; the products of attention take one type.
        q, k = rotate(q, *rotary).to(v.dtype), rotate(k, *rotary).to(v.dtype)
        if cache is not None:
            k, v = cache.write(self.layer, k, v)
        return self.o_proj(attend(q, k, v, mask).transpose(1, 2).reshape(B, T, -1))


def activated(gate, up):
    """The activation of SwiGLU, in training and in writing alike."""
    return F.silu(gate) * up


class MLP(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x)) (https://arxiv.org/abs/2002.05202)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x):
        return self.down_proj(activated(self.gate_proj(x), self.up_proj(x)))


class DecoderLayer(nn.Module):
    """Pre-norm residual block: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: TransformerConfig, layer: int):
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        FeedForward = MLP
        if config.model_type == "qwen3_moe":
            from model.experts import Experts as FeedForward  # dense networks do not load it
        self.mlp = FeedForward(config)

    def forward(self, x, rotary, mask, cache):
        x = x + self.self_attn(self.input_layernorm(x), rotary, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class Backbone(nn.Module):
    """Embedding, layers, final norm: HF's `model.*` parameters."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config, i) for i in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def embed(self, tokens, positions):
        return self.embed_tokens(tokens)  # positions enter later, as rotations of queries and keys


class Transformer(nn.Module):
    """The language model. `initialize_weights=False` leaves them unset, for weights about to be loaded.

    Two switches are set from outside: `recomputes_layers` says what of each layer is computed again when its gradient
    is due, "layers" or "cheap" (`model/recomputation.py`); `lora` says which adapters `model.lora` has added.
    """

    backbone = Backbone  # another in model/gpt2.py
    recomputes_layers = False
    lora = None

    def __init__(self, config: TransformerConfig, initialize_weights: bool = True):
        super().__init__()
        self.config = config
        self._set_rotary_frequencies()
        device = torch.get_default_device()
        with torch.device("meta"):  # else torch first draws initial values of its own: 15 s for a billion
            self.model = self.backbone(config)
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.to_empty(device=device)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        if initialize_weights:
            initialize(self)

    def _set_rotary_frequencies(self):
        c = self.config
        shape = c.head_dim, c.rope_theta, c.rope_scaling, c.max_position_embeddings
        frequencies, self.rotary_factor = inverse_frequencies(*shape)
        # Never saved: the configuration determines them.
        self.register_buffer("rotary_frequencies", frequencies, persistent=False)

    def _apply(self, fn, recurse=True):
        """What `.to(...)`, `.cuda()`, `.bfloat16()` do; the frequencies follow the device but stay float32.

        Rounded to bfloat16 they would be wrong by up to 0.2 %: a radian within a thousand positions.
        """
        frequencies = self.rotary_frequencies
        super()._apply(fn, recurse)
        self.rotary_frequencies = frequencies.to(self.rotary_frequencies.device)
        return self

    def forward(self, tokens, positions=None, cache=None):
        """Logits [B, T, V] of the token after each of `tokens` [B, T]; see `features`."""
        return self.lm_head(self.features(tokens, positions, cache))

    def features(self, tokens, positions=None, cache=None, mask=None):
        """The last hidden states [B, T, D], normed, from which `lm_head` makes logits.

        tokens: [B, T] integers. positions: [B, T], or None where each row is one document. mask: who sees whom, as for
        `attend`; without one, a position 0 begins a new document. cache: a `model.attention.KVCache`, read, extended.
        """
        T = tokens.shape[1]
        if cache is not None:
            positions, mask = cache.place(T)
        elif positions is None:
            positions = torch.arange(T, device=tokens.device)[None]
        elif mask is None:
            documents = (positions == 0).cumsum(dim=1)
            mask = visible(documents, documents)
        rotary = rotary_tables(positions, self.rotary_frequencies, self.rotary_factor)

        x = self.model.embed(tokens, positions)
        recomputes = self.recomputes_layers and cache is None and torch.is_grad_enabled()
        if recomputes:
            from model.recomputation import recomputed  # only with the flag
        for layer in self.model.layers:
            x = recomputed(self, layer, x, rotary, mask, None) if recomputes else layer(x, rotary, mask, cache)
        if cache is not None:
            cache.advance(T)
        return self.model.norm(x)


def initialize(model: nn.Module) -> None:
    """Fills all parameters of a `Transformer` in place, from torch's global random generator.

    What is chosen, and why (figures in docs/pretrain.md):

    * Projections that read the residual stream: normal, standard deviation 1 / sqrt(fan in), which keeps the
      variance of what they compute near one at any width.
    * `o_proj` and `down_proj`, which write into it: zero. Every layer begins as the identity, and the gradient
      reaches all of them undistorted: slightly better than the usual scaling by 1 / sqrt(2 layers).
    * A tied embedding: standard deviation 2.5 / D. The final norm scales the embedding of the current token to
      length sqrt(D), so the logit of repeating that token begins at sqrt(D) * |e| = 2.5 at any width, and the
      loss at ln(vocabulary).
    * Norms one, biases zero.

    An unknown name is an error, not a default.
    """
    tied = model.config.tie_word_embeddings
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _initialize_one(name, parameter, tied)


def _initialize_one(name: str, parameter: torch.Tensor, tied: bool) -> None:
    kind = ".".join(name.split(".")[-2:])
    if kind in ("q_proj.weight", "k_proj.weight", "v_proj.weight", "gate_proj.weight", "up_proj.weight"):
        parameter.normal_(std=1 / math.sqrt(parameter.shape[-1]))
    elif kind in ("o_proj.weight", "down_proj.weight") or kind.endswith("_proj.bias"):
        parameter.zero_()
    elif kind == "embed_tokens.weight":
        parameter.normal_(std=2.5 / parameter.shape[1] if tied else 0.02)
    elif kind in ("lm_head.weight", "gate.weight"):  # gate: the router of experts, which begins nearly neutral
        parameter.normal_(std=1 / parameter.shape[1])
    elif kind.endswith("norm.weight"):
        parameter.fill_(1.0)
    else:
        raise ValueError(f"no initial values are defined for {name}: say them in _initialize_one, model/transformer.py")
