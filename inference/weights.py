"""Weights by name: finds the file in <out_dir>, and the network of adapters, and opens both as one network."""

import glob
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from model.device import Device
from model.disk import previous_path
from model.errors import UsageError
from model.files.adapters import Adapters, open_lora
from model.files.checkpoint import ADAPTER_FOLDER
from model.files.loading import Loaded, load_model
from model.lora import merge_lora


def find_weight(
    source: str,
    out_dir: str,
    hidden_size: int | None = None,
    chosen_by: str = "--hidden_size",
    say: Callable[[str], None] | None = None,
) -> str:
    """A path as it stands; a name such as `pretrain` is looked for as <out_dir>/pretrain_<hidden>.pth.

    A folder of that name where the command runs, of data perhaps, counts only if there is no such weight.

    hidden_size: of the weight, for a name; chosen_by: the flag that chooses, for the error. say: takes the newest of
    several, and prints so. Raises `UsageError` if there is no such weight, or several and no choice.
    """
    is_path = _is_path(source)
    in_folder = [path for end in ("", ".pth") if os.path.isfile(path := os.path.join(out_dir, source + end))]
    found = [] if is_path else _weights_called(source, Path(out_dir))
    if not found and (is_path or not in_folder):
        if os.path.exists(source):  # unlike Path.exists, it does not raise for an invalid name
            if not (os.path.isfile(source) or os.path.isdir(source)):
                raise UsageError(f"{source} is a pipe or a device, and a weight is a file or a folder: name one")
            return source
        if source and not in_folder and os.path.exists(previous_path(Path(source))):
            return source  # where a file is missing, the save before it is read
    if in_folder:
        return in_folder[0]
    if kept := _kept_aside(source):
        return kept
    if not found and not is_path:
        found = _weights_called(source, Path(out_dir, "earlier"), "*/")
    if not found:
        from inference.missing import MissingWeightError, sentences_about  # needed only now

        raise MissingWeightError(sentences_about(source, out_dir, is_path))
    if hidden_size:
        several, found = found, [path for path in found if path.stem == f"{source}_{hidden_size}"]
        if not found:
            from inference.missing import MissingWeightError  # needed only now

            is_there = f"{source} is {' or '.join(map(str, several))}, not of --hidden_size {hidden_size}"
            raise MissingWeightError(f"{is_there}: name its file, or leave the flag out")
    if len(found) > 1:
        if not say:
            raise UsageError(f"{source} could be {' or '.join(map(str, found))}: name one, or choose by {chosen_by}")
        say(f"{len(found)} sizes of {source} are in {out_dir}; this is the newest (or choose by {chosen_by})")
    return str(found[0])


def name_of(source: str | Path) -> str:
    """What a weight is called: a file without its ending; a folder whole, since its name may hold dots (Qwen3-0.6B)."""
    path = Path(os.path.abspath(source))
    return path.stem if path.is_file() else path.name


def _is_path(source: str) -> bool:
    """Whether it is the path of a file or a folder, not a name."""
    return "/" in source or os.sep in source or Path(source).suffix in (".pth", ".pt", ".bin", ".safetensors", ".gguf")


def _kept_aside(source: str) -> str | None:
    """The latest file of this name that was moved to `earlier`: a run that began from it and writes the same name does
    so, and may end before its first save."""
    if not source:
        return None
    moved = Path(source).parent.glob(f"earlier/*/{glob.escape(Path(source).name)}")
    latest = max(moved, key=lambda path: path.stat().st_mtime, default=None)
    return None if latest is None else str(latest)


def _weights_called(name: str, folder: Path, below: str = "") -> list[Path]:
    """The newest <folder>/<below><name>_<hidden>.pth of each size, the newest first. below: a pattern of folders."""
    found = folder.glob(f"{below}{glob.escape(name)}_*.pth")
    found = [path for path in found if path.stem.removeprefix(f"{name}_").isdecimal()]
    by_size: dict[str, Path] = {}
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        by_size.setdefault(path.stem, path)
    return list(by_size.values())


def find_adapters(name: str, out_dir: str, hidden_size: int | None = None) -> Adapters:
    """Opens adapters: a path as it stands, or a name in <out_dir>/lora; `hidden_size` chooses among several."""
    return open_lora(find_weight(name, os.path.join(out_dir, ADAPTER_FOLDER), hidden_size))


def network_of(adapters: Adapters, flag: str, out_dir: str | None = None, needed: bool = True) -> str | None:
    """The saved path of the network that the adapters were trained on; None if they have none.

    Both may have been moved: a file of its name counts in out_dir, and in the folders that the adapters lie in.
    Raises `UsageError` that names `flag`, which gives the network, if it is missing, or `needed` and unknown.
    """
    path = adapters.lora.base_path
    if path is None and needed:
        raise UsageError(f"{adapters.source} does not say to which network it belongs: name it by {flag}")
    if path is None or os.path.exists(path):
        return path
    if adapters.lora.base:  # their fingerprint, by which another network of that name is refused
        beside = Path(adapters.source).parent
        for folder in (*([out_dir] if out_dir else []), beside.parent, beside):
            if (moved := Path(folder, Path(path).name)).exists():
                return str(moved)
    raise UsageError(f"{adapters.source} belongs to {path}, which is not here: give that network by {flag}")


def open_network(args, name: str, device: Device, overrides: dict, say: Callable[[str], None]) -> Loaded:
    """The network that the flags name, on the device, with the adapters that they name merged into it.

    args: those of `inference.arguments.add_weight_arguments`. name: the default weight, <out_dir>/<name>_<hidden>.pth.
    overrides: see `load_model`. say: prints what was opened.
    """
    if device.device.type == "cuda":
        from model.gpu import attend_to_any_length  # a CPU does not load it

        attend_to_any_length()
    adapters = find_adapters(args.lora, args.out_dir, args.hidden_size) if args.lora else None
    source = _network_asked_for(args, name, adapters, say)
    loaded = load_model(source, tokenizer_path=args.tokenizer_path, overrides=overrides, device=device.device)
    total, active = (n / 1e6 for n in (loaded.model.config.num_parameters(), loaded.model.config.active_parameters()))
    of_a_token = f" ({active:.3f} M active for a token)" if active < total else ""
    say(f"{loaded.source} ({loaded.stage}), {total:.3f} M parameters{of_a_token}")
    if factor := getattr(args, "rope_scaling_factor", None):  # not all scripts have the flag
        from model.rope_scaling import extended, in_words  # few networks are

        trained_on = getattr(args, "max_position_embeddings", None) or loaded.trained_positions
        model = extended(loaded.model, factor, trained_on, loaded.source)
        loaded = replace(loaded, model=model.to(device.device))
        say(in_words(model.config))
    if adapters:
        adapters = adapters if args.lora_scale is None else adapters.scaled(args.lora_scale)
        adapters.attach(loaded.model)
        merge_lora(loaded.model)  # computes the same, and faster
        say(f"with {adapters}")
        loaded = replace(loaded, new_tokens=0)  # adapters were trained with them
    if loaded.new_tokens:
        say(f"{loaded.new_tokens:,} tokens of --tokenizer_path were never trained, so none of them is written")
    return loaded


def _network_asked_for(args, name: str, adapters: Adapters | None, say: Callable[[str], None]) -> str:
    """The weight that the flags name, or the network of the adapters; the newest if a name has several sizes."""
    if adapters and not (args.weight or args.weight_path):
        if own := network_of(adapters, "--weight_path", args.out_dir, needed=False):
            return own
    return find_weight(args.weight_path or args.weight or name, args.out_dir, args.hidden_size, say=say)


def positions_read(config, wanted: int | None) -> int:
    """How many tokens a network sees at once: `wanted`, which --max_seq_len says, or without it all its positions.

    Raises `UsageError` where that is more than it has.
    """
    positions = config.max_position_embeddings
    if wanted and wanted > positions:
        raise UsageError(
            f"--max_seq_len {wanted} is more than the {positions} positions of the network: give at most that"
        )
    return wanted or positions
