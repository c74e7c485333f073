"""The network of a weight that a run begins with."""

import sys
from pathlib import Path

from model.config import TransformerConfig, preset
from model.errors import UsageError
from model.files.loading import Loaded, load_model
from model.files.state_dict import Contradiction
from model.transformer import Transformer
from training.engine import distributed
from training.stages.arguments import size_overrides
from training.stages.resumed_start import start_of_run
from training.watch.locks import owner_of

# What a preset decides; the vocabulary is the tokenizer's
SHAPE = (
    "hidden_size num_hidden_layers num_experts model_type intermediate_size num_attention_heads num_key_value_heads"
    " head_dim num_experts_per_tok"
).split()


def open_given_weight(args, source: str) -> tuple[Transformer, Loaded, str]:
    """The network that the run begins with, the weight that it was made of, and that in words, with what was changed.

    Raises as `starting_point`.
    """
    only = getattr(args, "train_only", None)
    if only and source in (None, "none"):
        raise UsageError("--train_only embeddings goes on with a network that is trained: give it with --from_weight")
    path = start_of_run(source, args)
    what = "the network that this one begins with; adapters then lack theirs, and --resume may lack its reference"
    warn_of_its_run(path, what)
    loaded = _load(path, args)
    model, description = loaded.model, f"{loaded.source} ({loaded.stage})"
    if args.rope_scaling_factor:
        from model.rope_scaling import in_words
        from training.stages.changes import extended_for_training

        model = extended_for_training(loaded, args)
        description += f", {in_words(model.config)}"
    if only:
        from training.stages.new_rows import train_new_rows

        description += f"; {train_new_rows(model, loaded.new_tokens, args)}"
    return model, loaded, description


def _load(path: str | Path, args) -> Loaded:
    """The weight in a file or folder. Raises `UsageError` for flags that contradict what it is."""
    sizes = size_overrides(args)
    if args.rope_scaling_factor:
        sizes.pop("max_position_embeddings", None)  # it says how far the weight has read before its extension
    try:
        loaded = load_model(path, tokenizer_path=args.tokenizer_path, overrides=sizes)
    except Contradiction as error:
        if not hasattr(args, "teacher_weight"):
            raise
        raise UsageError(f"{error}, or give --from_weight none for a student that begins anew") from error
    if args.preset and (differ := _differences(args.preset, loaded.model.config)):
        wanted, own = (", ".join(f"{name} {values[which]}" for name, *values in differ[:2]) for which in (0, 1))
        raise UsageError(
            f"--preset {args.preset} makes a new network ({wanted}), but {loaded.source} has its own size ({own}):"
            " leave out --preset to go on with it, or give --from_weight none"
        )
    if loaded.new_tokens and hasattr(args, "prompts_per_step"):
        raise UsageError(
            f"{args.tokenizer_path} adds {loaded.new_tokens:,} tokens, and this stage learns from what the network"
            " writes: train them first, with train_pretrain.py or train_full_sft.py"
        )
    return loaded


def warn_of_its_run(path: str | Path, what: str) -> None:
    """Says so where another run still writes this weight, as far as that can be seen (`training/engine/output.py`).

    what: what its next save replaces, and what follows from that.
    """
    path = Path(path)
    if distributed.is_main() and owner_of(path.with_name(f".{path.stem}.lock")):
        print(
            f"warning: another run is writing {path}, and its next save replaces {what}: wait for that run, or begin"
            " with a copy of the file",
            file=sys.stderr,
        )


def _differences(name: str, config: TransformerConfig) -> list[tuple]:
    """The sizes in which a network is not of this preset: their names, those of the preset, those of the network."""
    wanted = preset(name)
    if name.lower() == "moe":
        from model.experts import ExpertsConfig  # few networks have experts

        wanted = ExpertsConfig.of(wanted)
    sizes = ((key, getattr(wanted, key), getattr(config, key, "none")) for key in SHAPE if hasattr(wanted, key))
    return [each for each in sizes if each[1] != each[2]]
