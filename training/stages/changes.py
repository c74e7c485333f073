"""What few runs ask of the network that they begin with: other positions, frozen layers, and a size it cannot have."""

from model.config import TransformerConfig
from model.errors import UsageError
from model.transformer import Transformer


def too_large(config: TransformerConfig, memory: int) -> UsageError:
    """The error for a new network whose weights alone exceed the `memory` of this machine, in bytes.

    Raised before the network is built, since the system grants more memory than it has and later kills the process.
    """
    parameters = config.num_parameters()
    return UsageError(
        f"a network of {parameters / 1e6:,.0f} M parameters takes {4 * parameters / 1e9:,.0f} GB, and this machine has"
        f" {memory / 1e9:,.0f} GB of memory: choose a smaller --preset or smaller sizes"
    )


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
    changed = type(model)(config, initialize_weights=False)
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
