"""GPT-2 (https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf), opened
from a Hugging Face folder. Sprout's own network is in `model/transformer.py`.

GPT-2 differs from it in five points: a position is a learned vector, added to the embedding, where RoPE turns heads;
LayerNorm also subtracts the mean and has a bias, where RMSNorm only scales; GELU follows one matrix, where SwiGLU has
two; every matrix has a bias; there are as many key/value heads as query heads. Parameters have the names of Sprout's
network, and `model/files/gpt2.py` translates those of Hugging Face. Shapes as in `model/transformer.py`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from model.attention import attend
from model.config import TransformerConfig
from model.errors import UsageError
from model.transformer import Backbone, Transformer


@dataclass(frozen=True)
class GPT2Config(TransformerConfig):
    """The sizes of a GPT-2; what `TransformerConfig` says of rotation and RMSNorm means nothing here."""

    model_type: str = "gpt2"  # a field, so that a weight says which network it is
    layer_norm_eps: float = 1e-5

    def __post_init__(self):
        super().__post_init__()
        if self.rope_scaling is not None:
            raise UsageError("the positions of a GPT-2 are learned, so no factor stretches them: leave it out")

    def num_parameters(self) -> int:
        d, f = self.hidden_size, self.intermediate_size
        layer = 4 * (d * d + d) + 2 * d * f + f + d + 4 * d
        heads = 1 if self.tie_word_embeddings else 2
        return (self.vocab_size * heads + self.max_position_embeddings) * d + self.num_hidden_layers * layer + 2 * d


class GPT2Attention(nn.Module):
    """Causal self-attention, with nothing that tells positions apart but what the embedding brought."""

    def __init__(self, config: GPT2Config, layer: int):
        super().__init__()
        self.layer, self.head_dim, d = layer, config.head_dim, config.hidden_size
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(d, d) for _ in range(4))

    def forward(self, x, mask, cache):
        B, T, _ = x.shape
        projections = (self.q_proj, self.k_proj, self.v_proj)
        q, k, v = (project(x).view(B, T, -1, self.head_dim).transpose(1, 2) for project in projections)  # [B, H, T, h]
        if cache is not None:
            k, v = cache.write(self.layer, k, v)
        return self.o_proj(attend(q, k, v, mask).transpose(1, 2).reshape(B, T, -1))


class GPT2MLP(nn.Module):
    """down(gelu(up(x))), with the approximation of GELU by tanh (https://arxiv.org/abs/1606.08415)."""

    def __init__(self, config: GPT2Config):
        super().__init__()
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x):
        return self.down_proj(F.gelu(self.up_proj(x), approximate="tanh"))


class GPT2Layer(nn.Module):
    """Pre-norm residual block: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: GPT2Config, layer: int):
        super().__init__()
        self.input_layernorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.self_attn = GPT2Attention(config, layer)
        self.post_attention_layernorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.mlp = GPT2MLP(config)

    def forward(self, x, rotary, mask, cache):
        x = x + self.self_attn(self.input_layernorm(x), mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class GPT2Backbone(Backbone):
    """Two embeddings, layers, final norm."""

    def __init__(self, config: GPT2Config):
        nn.Module.__init__(self)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.embed_positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.layers = nn.ModuleList(GPT2Layer(config, i) for i in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def embed(self, tokens, positions):
        # Padding behind a text may lie beyond the last position; nothing reads what becomes of it.
        within = positions.clamp(max=self.embed_positions.num_embeddings - 1)
        return self.embed_tokens(tokens) + self.embed_positions(within)


class GPT2(Transformer):
    """A GPT-2, for weights about to be loaded: Sprout begins none of its own."""

    backbone = GPT2Backbone

    def _set_rotary_frequencies(self):
        self.rotary_factor = 1.0
        self.register_buffer("rotary_frequencies", torch.empty(0), persistent=False)  # no pair of dimensions turns
