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
    "model_type hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads head_dim"
    " num_experts num_experts_per_tok"
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
    if args.preset and not _is_of(args.preset, loaded.model.config):
        raise UsageError(
            f"--preset {args.preset} makes a new network ({_size(preset(args.preset))}), but {loaded.source} has its"
            f" own size ({_size(loaded.model.config)}): leave out --preset to go on with it, or give --from_weight none"
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


def _is_of(name: str, config: TransformerConfig) -> bool:
    """Whether a network has the size of this preset, so that the preset contradicts nothing."""
    wanted = preset(name)
    if name.lower() == "moe":
        from model.experts import ExpertsConfig  # few networks have experts

        wanted = ExpertsConfig.of(wanted)
    return all(getattr(config, key, None) == getattr(wanted, key) for key in SHAPE if hasattr(wanted, key))


def _size(config: TransformerConfig) -> str:
    return f"hidden {config.hidden_size}, {config.num_hidden_layers} layers"
