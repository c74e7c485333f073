"""How much memory activations take with activation checkpointing; runs without the flag do not load this."""

from model.attention import QUERY_BLOCK
from model.recomputation import CHEAP


def kept_products(footprint) -> int:
    """Bytes per token and layer of the results of products and attention, which `cheap` keeps beside the layer's input.

    footprint: a `training.engine.memory.Footprint`. They are those of q, k, v, attention, o_proj, and of the two that
    the MLP multiplies; with experts also what they return, which their weights multiply, and the router's float32.
    """
    config, b = footprint.config, footprint.compute_bytes
    q, k = (config.head_dim * heads for heads in (config.num_attention_heads, config.num_key_value_heads))
    kept = b * (2 * q + 2 * k + config.hidden_size + 2 * config.intermediate_size)
    if hasattr(config, "num_experts"):
        kept += b * config.num_experts_per_tok * config.hidden_size + 4 * config.num_experts
    if footprint.keeps_attention:  # its weights, else a float32 number for each head
        return kept + b * config.num_attention_heads * (footprint.row_length + QUERY_BLOCK) // 2
    return kept + 4 * config.num_attention_heads


def with_checkpointing(footprint, per_layer: int, tokens: int, grade: bool | str) -> int:
    """Bytes per token of all layers; `per_layer`: those of a layer that keeps everything."""
    # The inputs of all layers, and the inside of the one being computed again.
    config = footprint.config
    layers = footprint.layers or config.num_hidden_layers
    kept = layers * 4 * config.hidden_size + per_layer
    if grade != CHEAP:
        return kept
    # Autocast holds its copies of the weights to the end of the forward pass; compact weights need none.
    copies = 2 * config.num_parameters() if footprint.compute_bytes == 2 and not footprint.compact else 0
    return kept + (layers - 1) * kept_products(footprint) + copies // tokens
