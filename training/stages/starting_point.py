"""The network a stage begins with: a new one, or one loaded from a weight, an HF folder or a MiniMind file."""

import glob
import os
from dataclasses import dataclass
from pathlib import Path

from model.config import TransformerConfig
from model.errors import UsageError
from model.files.checkpoint import load_model
from model.text.tokenizer import Tokenizer
from model.transformer import Transformer
from training.stages.arguments import new_config, size_overrides, with_rope_factor


@dataclass(frozen=True)
class Origin:
    """Where a network comes from."""

    description: str
    stage: str | None = None  # that trained it; "imported" if it was not one of ours; None: it is new
    source: str | None = None  # the path
    imported: bool = False  # it, or what it was trained from, came from elsewhere

    def __str__(self) -> str:
        return self.description


def starting_point(args) -> tuple[Transformer, Tokenizer, Origin]:
    """The network, its tokenizer, and where they come from.

    Raises `UsageError` or `SproutError` for a weight that is not there or does not fit the size flags.
    """
    source = args.weight_path or args.from_weight
    if source is None:
        tokenizer = Tokenizer.load(args.tokenizer_path)
        config = new_config(args, tokenizer.vocab_size)
        config = config.replace(
            pad_token_id=tokenizer.pad_id, bos_token_id=tokenizer.bos_id, eos_token_id=tokenizer.eos_id
        )
        refuse_too_large(config)
        model, origin = Transformer(config), Origin("a new network")
    else:
        if args.preset:
            raise UsageError(f"--preset {args.preset} makes a new network, but {source} has its own shape: drop one")
        loaded = load_model(
            find_weight(source, args.out_dir, args.hidden_size),
            tokenizer_path=args.tokenizer_path,
            overrides=size_overrides(args),
        )
        model, tokenizer = loaded.model, loaded.tokenizer
        origin = Origin(f"{loaded.source} ({loaded.stage})", loaded.stage, loaded.source, loaded.imported)
        model = _with_config(model, with_rope_factor(model.config, args.rope_factor))
    if args.max_seq_len > model.config.max_position_embeddings:
        raise UsageError(
            f"--max_seq_len {args.max_seq_len} is more than the network's {model.config.max_position_embeddings}"
            " positions: shorten it, or stretch the positions with --rope_factor"
        )
    freeze_layers(model, args.freeze_layers)
    return model, tokenizer, origin


def refuse_too_large(config: TransformerConfig) -> None:
    """Raises `UsageError` for a new network whose weights alone exceed the memory of this machine.

    Asked before it is built: the system would hand out memory that is not there, and end the process when it is used.
    """
    if not hasattr(os, "sysconf"):  # Windows hands out no more than it has
        return
    memory, needed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), 4 * config.num_parameters()
    if needed > memory:
        raise UsageError(
            f"a network of {config.num_parameters() / 1e6:,.0f} M parameters takes {needed / 1e9:,.0f} GB, and this"
            f" machine has {memory / 1e9:,.0f} GB of memory: choose a smaller --preset or smaller sizes"
        )


def _with_config(model: Transformer, config: TransformerConfig) -> Transformer:
    """`model` with other positions, which its weights do not show."""
    if config == model.config:
        return model
    changed = Transformer(config, initialize_weights=False)
    changed.load_state_dict(model.state_dict())
    return changed


def find_weight(source: str, out_dir: str, hidden_size: int | None = None, chosen_by: str = "--hidden_size") -> str:
    """A path as it stands; a name such as `pretrain` is looked for as <out_dir>/pretrain_<hidden>.pth.

    hidden_size: chooses among several; chosen_by: the flag that says so, or what else does. Raises `UsageError` where
    there is none, or no choice.
    """
    if os.path.exists(source):  # False, where Path.exists raises, for a name that no file can have
        return source
    # A run that was begun from this very file under its own name, and ended before its first save, kept it there.
    pattern = f"earlier/*/{glob.escape(Path(source).name)}"
    kept = sorted(Path(source).parent.glob(pattern), key=lambda path: path.stat().st_mtime)
    if kept:
        return str(kept[-1])
    if Path(source).suffix or "/" in source:
        raise UsageError(f"{source} does not exist: give a .pth, an HF folder, or a name in {out_dir}")
    found = weights_called(source, out_dir)
    chosen = [path for path in found if path.stem == f"{source}_{hidden_size}"] if len(found) > 1 else found
    if len(chosen) != 1:
        raise UsageError(f"{source} could be {' or '.join(map(str, found))}: name one, or choose by {chosen_by}")
    return str(chosen[0])


def weights_called(name: str, out_dir: str) -> list[Path]:
    """All <out_dir>/<name>_<hidden>.pth, the newest first; none is a `UsageError`."""
    pattern = f"{glob.escape(name)}_*.pth"
    found = [*Path(out_dir).glob(pattern)] or [*Path(out_dir).glob(f"earlier/*/{pattern}")]
    found = [path for path in found if path.stem.removeprefix(f"{name}_").isdecimal()]
    if not found:
        raise UsageError(f"there is no {name}_<hidden>.pth in {out_dir}: train that stage first, or give a path")
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def freeze_layers(model: Transformer, count: int) -> None:
    """Freezes the embedding and the first `count` layers; 0 trains everything.

    A tied head is the embedding, so it stays as it is too.
    """
    if count == 0:
        return
    layers = model.model.layers
    if count >= len(layers):
        raise UsageError(f"--freeze_layers {count} leaves nothing to train: the network has {len(layers)} layers")
    model.model.embed_tokens.requires_grad_(False)
    for layer in layers[:count]:
        layer.requires_grad_(False)
