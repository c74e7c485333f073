"""What the name of a weight meant when the run began that `--resume` goes on with.

A run that begins with a weight of its own name moves that file to <out_dir>/earlier (`model/earlier.py`).
From its first save on, the name means the run's own result.
"""

import glob
import re
from pathlib import Path

from inference.missing import MissingWeightError
from inference.weights import find_weight
from model.disk import previous_path
from model.errors import UsageError
from model.files.checkpoint import ADAPTER_FOLDER
from model.files.reading import read_checkpoint


def start_of_run(source: str, args) -> str:
    """The file of the weight that a run begins with. With --resume, one that is gone is missed only where it is needed.

    Raises `UsageError`.
    """
    try:
        return as_it_began(find_weight(source, args.out_dir, args.hidden_size), args)
    except MissingWeightError as error:
        if not (args.resume and _states(args)):
            raise
        if result := _own_result(args):
            return result
        raise UsageError(
            f"--resume: the run began with {source}, which is not here any more: put it back, or name its file by"
            " --from_weight"
        ) from error


def _own_result(args) -> str | None:
    """The weight that the run has written, of the shape that it began with; None if the run needs more than that."""
    if getattr(args, "lora", False):
        return None
    states = _states(args)
    if len(states) != 1 or _is_needed(args, read_checkpoint(states[0], mmap=True)):
        return None
    result = states[0].with_name(f"{states[0].stem.removesuffix('_resume')}.pth")
    return str(result) if result.exists() or previous_path(result).exists() else None


def _states(args) -> list[Path]:
    """The states that may be that of the run: there are several where its size is not given."""
    folder = Path(args.out_dir) / (ADAPTER_FOLDER if getattr(args, "lora", False) else "")
    name, size = re.escape(args.weight_name), args.hidden_size or r"\d+"
    return [each for each in folder.glob("*_resume.pth") if re.fullmatch(f"{name}_{size}_resume", each.stem)]


def as_it_began(path: str, args) -> str:
    """`path`, a weight that the flags name; with --resume, if that is the run's own result, the earlier one.

    Raises `UsageError` if that is gone and the run needs it. Where it needs it not, its state has every parameter.
    """
    own, state_file = Path(path), Path(path).with_name(f"{Path(path).stem}_resume.pth")
    if not args.resume or getattr(args, "lora", False) or own.parent.resolve() != Path(args.out_dir).resolve():
        return path  # adapters have a folder of their own, so their run has moved no network
    if not re.fullmatch(rf"{re.escape(args.weight_name)}_\d+\.pth", own.name):
        return path
    if not (state_file.exists() or previous_path(state_file).exists()):
        return path  # nothing to resume, which the run says
    # A later run would have moved the state, too. So the newest file is the one that this run began with.
    pattern = f"earlier/{glob.escape(own.stem)}_*/{glob.escape(own.name)}"
    kept = sorted(own.parent.glob(pattern), key=lambda file: file.stat().st_mtime)
    if kept:
        return str(kept[-1])
    if _is_needed(args, read_checkpoint(state_file, mmap=True)):
        raise UsageError(
            f"--resume: the run began with an earlier {own.name}, which was moved to"
            f" {own.parent / 'earlier' / f'{own.stem}_TIME'} and is not there: put that file back, or start without"
            " --resume"
        )
    return path


def _is_needed(args, state: dict) -> bool:
    """Whether the run compares with the network that it began with, learns from it, or changed its shape."""
    identity = state.get("identity")
    data = identity.get("data") if isinstance(identity, dict) else None
    compares = isinstance(data, dict) and not data.keys().isdisjoint(("reference", "teacher"))
    return compares or bool(getattr(args, "train_only", None) or args.rope_scaling_factor)
