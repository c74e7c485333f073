"""Reading checkpoints: where one is damaged, the save before it is read instead; none can run code."""

import errno
import pickle
import sys
import zipfile
from pathlib import Path

import torch

from model.disk import previous_path
from model.errors import SproutError


class _DamagedError(Exception):
    """The file is not whole."""


def read_checkpoint(path: str | Path, mmap: bool = False) -> dict:
    """The contents of a checkpoint, tensors on the CPU; `mmap` leaves them on disk until they are used.

    Where the file is damaged or missing, the save before it is read, with a warning on stderr naming both.
    Raises `SproutError` if there is none, or if the file holds anything but tensors and plain values:
    unpickling it could run code, so it is refused before it does.
    """
    path = Path(path)
    previous = previous_path(path)
    if not path.exists() and not previous.exists():
        raise SproutError(f"there is no checkpoint {path}: check the name, or train it first")
    if path.is_dir():
        raise SproutError(f"{path} is a folder, not a checkpoint: give the .pth file")
    if path.suffix == ".safetensors":
        raise SproutError(f"{path} is a part of a Hugging Face folder: give the whole folder, {path.parent}")
    try:
        return _read_whole(path, mmap)
    except _DamagedError as error:
        damage = str(error)
    if not previous.exists():
        raise SproutError(f"{path} {damage}, and has no previous save {previous.name}: give another, or copy it again")
    try:
        contents = _read_whole(previous, mmap)
    except _DamagedError as error:
        raise SproutError(f"{path} {damage}, and {previous.name} {error}: neither can be used") from error
    print(f"warning: {path} {damage}; going back to {previous}{_step_of(contents)}", file=sys.stderr)
    return contents


def is_whole(path: str | Path) -> bool:
    """Whether a checkpoint is there and undamaged; the save before it does not count."""
    try:
        _read_whole(Path(path), mmap=True)
    except _DamagedError:
        return False
    return True


def _step_of(contents: dict) -> str:
    facts = contents.get("facts")
    step = contents.get("step", facts.get("step") if isinstance(facts, dict) else None)
    return "" if step is None else f" (step {step})"


def _read_whole(path: Path, mmap: bool) -> dict:
    try:
        _check_records(path)
        named = str(path).isprintable()  # PyTorch opens no path that is not UTF-8, but reads any open file
        with open(path, "rb") as file:
            contents = torch.load(path if named else file, map_location="cpu", weights_only=True, mmap=mmap and named)
    except FileNotFoundError as error:
        raise _DamagedError("is missing") from error
    except pickle.UnpicklingError as error:
        raise SproutError(
            f"{path} holds Python objects besides tensors, and opening them could run code: save a state dict"
            " (torch.save(model.state_dict(), ...)) instead"
        ) from error
    except Exception as error:  # damaged bytes make zipfile and torch fail in a dozen ways, with no common class
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if _is_no_damage(error):
            raise SproutError(
                f"{path} cannot be read ({reason}): it may be whole, so no earlier save is taken"
            ) from error
        raise _DamagedError(f"is damaged or not a file of torch.save ({reason})") from error
    if not isinstance(contents, dict):
        raise SproutError(f"{path} holds a {type(contents).__name__}, not the weights of a model by name")
    return contents


def _check_records(path: Path) -> None:
    """Raises BadZipFile for a file with wrong checksums, and other errors for one that is not a zip archive.

    torch.save writes a zip archive with the CRC-32 of every record, but torch.load does not look at them (seen
    with 2.13: a flipped bit in a tensor loads in silence).
    """
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if any(r.compress_type != zipfile.ZIP_STORED or r.file_size != r.compress_size for r in records):
            raise zipfile.BadZipFile("a record is not stored as torch stores it")
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"checksum of {damaged}")


def _is_no_damage(error: Exception) -> bool:
    """Whether reading failed for want of memory, rights, open files or a working disk."""
    if isinstance(error, OSError):
        return error.errno != errno.EINVAL  # a damaged offset, sought
    # torch reports failed allocations and mappings as RuntimeErrors; the records' sizes were checked before.
    hidden = isinstance(error, RuntimeError) and any(words in str(error) for words in ("memory", "unable to"))
    return hidden or isinstance(error, MemoryError)
