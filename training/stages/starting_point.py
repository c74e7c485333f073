"""The network a stage begins with: a new one, or one loaded from a weight, an HF folder or a MiniMind file."""

import os
from dataclasses import dataclass

from model.config import TransformerConfig, preset
from model.errors import UsageError
from model.text.tokenizer import Tokenizer
from model.transformer import Transformer
from training.stages.arguments import size_overrides


@dataclass(frozen=True)
class Origin:
    """Where a network comes from."""

    description: str
    stage: str | None = None  # the stage that trained it; "imported" if it was none of ours; None: it is new
    source: str | None = None  # the path
    imported: bool = False  # whether the network or one that it was trained from came from elsewhere


def starting_point(args, chats: bool = False) -> tuple[Transformer, Tokenizer, Origin]:
    """The network, its tokenizer, and where they come from.

    chats: whether the stage trains on conversations; the tokenizer then gets the chat template by which Sprout renders
    them. Raises `UsageError` or `SproutError` for a weight that is missing or does not fit the size flags.
    """
    source = args.weight_path or args.from_weight
    if source in (None, "none") and not getattr(args, "train_only", None):  # "none" is MiniMind's word
        tokenizer = Tokenizer.load(args.tokenizer_path)
        ids = {"pad_token_id": tokenizer.pad_id, "bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id}
        config = new_config(args, tokenizer.vocab_size).replace(**ids)
        if hasattr(os, "sysconf"):  # not on Windows, which unlike Linux refuses memory that it does not have
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            if 4 * config.num_parameters() > memory:
                from training.stages.changes import too_large

                raise too_large(config, memory)
        model = Transformer(config)
        origin = Origin("a new network")
    else:
        from training.stages.given_weight import open_given_weight  # a new network does not load it

        model, loaded, description = open_given_weight(args, source)
        tokenizer = loaded.tokenizer
        origin = Origin(description, loaded.stage, loaded.source, loaded.imported)
    if args.max_seq_len > model.config.max_position_embeddings:
        fixed = model.config.model_type == "gpt2" or model.config.rope_scaling is not None
        stretch = "" if fixed else ", or extend a trained network with --rope_scaling_factor"
        raise UsageError(
            f"--max_seq_len {args.max_seq_len} is more than the network's {model.config.max_position_embeddings}"
            f" positions: shorten it{stretch}"
        )
    if args.freeze_layers:
        from training.stages.changes import freeze_layers

        freeze_layers(model, args.freeze_layers)
    if chats:
        from dataset.rendering import for_chats  # stages of plain texts do not load it

        tokenizer = for_chats(tokenizer, origin.imported)
    return model, tokenizer, origin


def new_config(args, vocab_size: int) -> TransformerConfig:
    """The configuration of a new network: a preset, changed by the size flags, with the tokenizer's vocabulary."""
    config, sizes = preset(args.preset or "26m"), size_overrides(args)
    if args.preset == "moe" or not all(hasattr(config, name) for name in sizes):
        from training.stages.changes import with_experts  # dense networks do not load it

        config = with_experts(config, args, sizes)
    config = config.replace(vocab_size=vocab_size, **sizes)
    if args.rope_scaling_factor:
        raise UsageError("--rope_scaling_factor extends a network that is trained: name it with --from_weight")
    return config
