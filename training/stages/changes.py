"""The changes that --rope_factor, --freeze_layers and --train_only make to a network before training."""

from functools import partial

import torch

from model.config import TransformerConfig
from model.errors import UsageError
from model.transformer import Transformer


def with_rope_factor(config: TransformerConfig, factor: float) -> TransformerConfig:
    """`config` with its positions stretched `factor` times by YaRN.

    Positions that YaRN stretched before are stretched from their original length, by the product of the factors.
    """
    before = config.rope_scaling or {"rope_type": "yarn", "factor": 1.0}
    if (kind := before.get("rope_type", before.get("type"))) != "yarn":
        raise UsageError(f"--rope_factor cannot stretch this network: its positions are stretched already, by {kind}")
    if before.get("attention_factor") is not None:
        raise UsageError("--rope_factor cannot stretch this network: it has an attention_factor chosen for its own")
    original = before.get("original_max_position_embeddings") or config.max_position_embeddings
    factor *= before["factor"]
    scaling = before | {"factor": factor, "original_max_position_embeddings": original}
    return config.replace(rope_scaling=scaling, max_position_embeddings=round(original * factor))


def with_config(model: Transformer, config: TransformerConfig) -> Transformer:
    """`model` with the same weights and another positional encoding."""
    changed = Transformer(config, initialize_weights=False)
    changed.load_state_dict(model.state_dict())
    return changed


def freeze_layers(model: Transformer, count: int) -> None:
    """Freezes the embedding and the first `count` layers.

    A tied head is the embedding, so it is frozen, too.
    """
    layers = model.model.layers
    if count >= len(layers):
        raise UsageError(f"--freeze_layers {count} leaves nothing to train: the network has {len(layers)} layers")
    model.model.embed_tokens.requires_grad_(False)
    for layer in layers[:count]:
        layer.requires_grad_(False)


def train_only_embeddings(model: Transformer, args, origin) -> str:
    """Freezes all but the embedding (and an untied head); of these, all rows but the new ones, if there are any.

    So new tokens find their place before the network moves (docs/pretrain.md). Frozen rows stay equal to the bit: their
    gradient is zero, which AdamW turns into no step, and `args.weight_decay`, which would shrink those of an untied
    head, becomes 0. origin: a `starting_point.Origin`. Returns what is trained, in words.
    """
    if origin.source is None:
        raise UsageError("--train_only goes on with a trained network: give one by --from_weight")
    if args.freeze_layers:
        raise UsageError("--freeze_layers freezes the embedding, the only thing that --train_only trains: drop one")
    model.requires_grad_(False)
    args.weight_decay = 0.0
    new_rows, matrices = (
        origin.new_rows,
        {model.model.embed_tokens.weight, model.lm_head.weight},
    )  # one, if they are tied
    for matrix in matrices:
        matrix.requires_grad_(True)
        if new_rows:
            frozen = len(matrix) - new_rows
            matrix.register_post_accumulate_grad_hook(partial(_clear_gradient, frozen))
    names = "the embedding" if len(matrices) == 1 else "embedding and head"
    return f"{new_rows:,} new rows of {names}" if new_rows else names


def _clear_gradient(rows: int, matrix: torch.Tensor) -> None:
    matrix.grad[:rows].zero_()
