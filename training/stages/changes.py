"""What few runs ask of their first network: longer texts, experts, frozen layers, and a size it cannot have."""

from torch import nn

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


def with_experts(config: TransformerConfig, args, sizes: dict) -> TransformerConfig:
    """The configuration of a new network with experts in place of the MLPs of `config`.

    sizes: the size flags that are given. Raises `UsageError` where none of them asks for experts.
    """
    from model.experts import ExpertsConfig

    if args.preset != "moe" and "num_experts" not in sizes:
        name = next(name for name in sizes if not hasattr(config, name))
        flag = f"--no_{name}" if sizes[name] is False else f"--{name}"
        raise UsageError(
            f"{flag} is for a network with experts, and this one is dense: give --num_experts or --preset moe, or drop"
            " it"
        )
    return ExpertsConfig.of(config)


def extended_for_training(loaded, args) -> Transformer:
    """The network of a weight with its positions extended by YaRN, as --rope_scaling_factor says.

    Raises `UsageError` where that cannot be, and where the rows of the run would never reach the new positions.
    """
    from model.rope_scaling import extended  # few runs stretch positions

    config, factor = loaded.model.config, args.rope_scaling_factor
    own = config.rope_scaling is not None and config.rope_scaling["factor"] == factor
    if own and getattr(args, "resume", False):  # the run goes on with what it wrote itself
        return loaded.model
    trained_on = args.max_position_embeddings or loaded.trained_positions
    model = extended(loaded.model, factor, trained_on, loaded.source)
    if args.max_seq_len <= trained_on:
        reach = model.config.max_position_embeddings
        raise UsageError(
            f"--rope_scaling_factor {factor:g} extends {loaded.source} from {trained_on} to {reach} positions, and rows"
            f" of --max_seq_len {args.max_seq_len} reach none of the new ones: give --max_seq_len {reach}"
        )
    return model


def freeze_layers(model: Transformer, count: int) -> None:
    """Freezes the embeddings, those of GPT-2's positions too, and the first `count` layers.

    A tied head is the embedding, so it is frozen, too.
    """
    layers = model.model.layers
    if count >= len(layers):
        raise UsageError(f"--freeze_layers {count} leaves nothing to train: the network has {len(layers)} layers")
    embeddings = [part for part in model.model.children() if isinstance(part, nn.Embedding)]
    for part in (*embeddings, *layers[:count]):
        part.requires_grad_(False)
