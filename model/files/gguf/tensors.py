"""Names and layout of tensors in a GGUF file, in both directions.

Rotary embedding turns pairs of dimensions of a head. Ours are (i, i + h/2), as Hugging Face has them, and so llama.cpp
computes qwen2, qwen3 and qwen3moe. For the architecture llama it turns neighbours (2i, 2i + 1), so there the rows of q
and k are put in that order. The wrong order raises no error, but the answers are nonsense.
"""

import re

import torch
from torch import Tensor

from model.config import TransformerConfig
from model.whole import EMBEDDING, HEAD

_OUTSIDE = {EMBEDDING: "token_embd.weight", "model.norm.weight": "output_norm.weight", HEAD: "output.weight"}
_IN_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",  # the router of experts, which lie in stacks, as ours do
    "mlp.experts.gate_proj": "ffn_gate_exps",
    "mlp.experts.up_proj": "ffn_up_exps",
    "mlp.experts.down_proj": "ffn_down_exps",
}
_OURS = {theirs: ours for ours, theirs in (_OUTSIDE | _IN_LAYER).items()}
ROPE_FACTORS = "rope_freqs.weight"  # [h / 2]: by what each pair's frequency is divided


def name_in_gguf(name: str) -> str:
    """`model.layers.3.mlp.up_proj.weight` -> `blk.3.ffn_up.weight`."""
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    layer, inner, kind = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)", name).groups()
    return f"blk.{layer}.{_IN_LAYER[inner]}.{kind}"


def name_of_ours(name: str) -> str:
    """The inverse of `name_in_gguf`; a name that no network of ours has stays as it is."""
    found = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name)
    if found and found[2] in _OURS:
        return f"model.layers.{found[1]}.{_OURS[found[2]]}.{found[3]}"
    return _OURS.get(name, name)


def in_their_order(name: str, tensor: Tensor, config: TransformerConfig) -> Tensor:
    """A tensor of ours, by our name, as llama.cpp wants its rows."""
    return _reordered(tensor, heads, (2, -1)) if (heads := _heads_to_reorder(name, config)) else tensor


def in_our_order(name: str, tensor: Tensor, config: TransformerConfig) -> Tensor:
    """The inverse of `in_their_order`."""
    return _reordered(tensor, heads, (-1, 2)) if (heads := _heads_to_reorder(name, config)) else tensor


def _heads_to_reorder(name: str, config: TransformerConfig) -> int:
    if config.model_type != "llama":
        return 0
    is_query, is_key = name.endswith("q_proj.weight"), name.endswith("k_proj.weight")
    return config.num_attention_heads * is_query + config.num_key_value_heads * is_key


def _reordered(tensor: Tensor, heads: int, split: tuple[int, int]) -> Tensor:
    """Rows of each head seen as a matrix of shape `split`, transposed."""
    if tensor.shape[0] % (2 * heads):
        return tensor  # of a damaged file: its shape is refused later
    rows = torch.arange(tensor.shape[0]).view(heads, *split)
    return tensor[rows.transpose(1, 2).reshape(-1)]
