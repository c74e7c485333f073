"""Checkpoints: files that are whole, that say what they are, and that cannot run code.

A weight (`out/pretrain_512.pth`) is a dictionary

    {"format": "sprout", "version": 1, "config": {...}, "tokenizer": {"fingerprint": ..., "files": {...}},
     "stage": "pretrain", "facts": {"step": ..., ...}, "model": {parameter name: tensor}}

and opens with no flags. A Hugging Face folder and a bare state dict of MiniMind open as well.
"""

import errno
import pickle
import sys
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import nn

from model.config import TransformerConfig
from model.errors import SproutError
from model.files.disk import previous_path, write_atomically
from model.files.huggingface import import_folder
from model.files.resize import resize_embeddings
from model.files.state_dict import (
    EMBEDDING,
    HEAD,
    SCORE,
    config_of_state_dict,
    fitting_state_dict,
    is_bare_state_dict,
    plain_state_dict,
    refuse_contradictions,
    unwrapped,
)
from model.text.tokenizer import Tokenizer
from model.transformer import Transformer

FORMAT, VERSION = "sprout", 1
_KINDS = {"version": int, "config": dict, "tokenizer": dict, "stage": str, "facts": dict, "model": dict}
# What may differ from the file without changing the meaning of a weight: how far the positions reach.
_MAY_DIFFER = ("max_position_embeddings", "rope_scaling")


# --- any checkpoint ---------------------------------------------------------------------------------


def save_checkpoint(path: str | Path, contents: dict) -> None:
    """Writes `contents` whole or not at all, and keeps the file that was there as `previous_path(path)`.

    Only tensors and plain Python values go in: `read_checkpoint` opens nothing else, and a file that cannot
    be opened again must fail now (`TypeError`), not on the day it is needed. Raises `SproutError` if the disk
    is full.
    """
    _check_plain(contents, "contents")

    def write(file: BinaryIO) -> None:
        try:
            torch.save(contents, file)
        except RuntimeError as error:
            # torch's zip writer hides the reason, such as a full disk, behind an assertion of its own.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise

    write_atomically(path, write, keep_previous=True)


def _check_plain(value, where: str) -> None:
    # Exact types: a defaultdict is a dict and a numpy.float64 a float by inheritance, but both are refused on loading.
    if type(value) in (dict, OrderedDict):
        for key, inner in value.items():
            _check_plain(key, where)
            _check_plain(inner, f"{where}[{key!r}]")
    elif type(value) in (list, tuple):
        for index, inner in enumerate(value):
            _check_plain(inner, f"{where}[{index}]")
    elif type(value) not in (str, int, float, bool, bytes, type(None), torch.Tensor, nn.Parameter):
        raise TypeError(f"{where} is a {type(value).__name__}, which weights_only loading would refuse")


class _DamagedError(Exception):
    """The file is not whole."""


def read_checkpoint(path: str | Path, mmap: bool = False) -> dict:
    """The contents of a checkpoint, tensors on the CPU; `mmap` leaves them on disk until they are used.

    A damaged or missing file is replaced by the previous generation, with a warning on stderr naming both.
    Raises `SproutError` if there is none, or if the file holds anything but tensors and plain values:
    unpickling it could run code, so it is refused before it does.
    """
    path = Path(path)
    previous = previous_path(path)
    if not path.exists() and not previous.exists():
        raise SproutError(f"there is no checkpoint {path}: check the name, or train it first")
    if path.is_dir():
        raise SproutError(f"{path} is a folder, not a checkpoint: give the .pth file")
    try:
        return _read_whole(path, mmap)
    except _DamagedError as error:
        damage = str(error)
    if not previous.exists():
        raise SproutError(f"{path} {damage}, and there is no previous save {previous.name}: it cannot be used")
    try:
        contents = _read_whole(previous, mmap)
    except _DamagedError as error:
        raise SproutError(f"{path} {damage}, and {previous.name} {error}: neither can be used") from error
    print(f"warning: {path} {damage}; going back to {previous}{_step_of(contents)}", file=sys.stderr)
    return contents


def is_whole(path: str | Path) -> bool:
    """Whether a checkpoint is there and undamaged, whatever the generation before it is."""
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
        contents = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
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
    """Raises BadZipFile for a file with wrong checksums, and much else for one that is no zip archive.

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


# --- weights ----------------------------------------------------------------------------------------


def save_weights(
    path: str | Path, model: nn.Module, tokenizer: Tokenizer, *, stage: str, facts: dict | None = None
) -> None:
    """Saves a network with everything needed to open it again: see the top of this module.

    facts: plain numbers and strings worth keeping (step, tokens seen, arguments). Weights keep their dtype;
    a tied head is stored once. `model` may be wrapped by torch.compile or DistributedDataParallel.
    """
    network = unwrapped(model)
    contents = {
        "format": FORMAT,
        "version": VERSION,
        "config": network.config.to_dict(),
        "tokenizer": {"fingerprint": tokenizer.fingerprint, "files": dict(tokenizer.files)},
        "stage": stage,
        "facts": dict(facts or {}),
        "model": plain_state_dict(network),
    }
    save_checkpoint(path, contents)


@dataclass(frozen=True)
class Loaded:
    """A network ready to use, and where it comes from."""

    model: Transformer  # float32
    tokenizer: Tokenizer
    stage: str  # "pretrain", ...; "imported" for a Hugging Face folder or a bare state dict
    facts: dict
    source: str
    stored_dtype: torch.dtype  # of the file

    @property
    def imported(self) -> bool:
        """Whether it was not Sprout that taught it its language, whatever stages came after."""
        return self.stage == "imported" or self.facts.get("imported") is True


def load_model(
    source: str | Path,
    *,
    tokenizer_path: str | Path | None = None,
    overrides: dict | None = None,
    device: str | torch.device = "cpu",
) -> Loaded:
    """Opens a weight of ours, a Hugging Face folder, or a bare MiniMind state dict, strictly, in float32.

    tokenizer_path: use this tokenizer instead of the one the file carries. One that extends it (the same
        tokens, then more) gets new embedding rows; any other difference is an error, since ids would change
        their meaning.
    overrides: values of `TransformerConfig` that the user asked for; None means not asked. A file that knows
        its shape refuses a contradiction; for a bare state dict they say what its shapes do not
        (`num_attention_heads`).

    Raises `SproutError` for a file that cannot be used, `UsageError` for flags that contradict it.
    """
    source = Path(source)
    wanted = {key: value for key, value in (overrides or {}).items() if value is not None}
    stage, facts, tokenizer = "imported", {}, None
    if source.is_dir():
        config, weights, tokenizer = import_folder(source)
        config = _agree(config, wanted, source)
    else:
        contents = read_checkpoint(source, mmap=True)
        if is_bare_state_dict(contents):
            config, weights = config_of_state_dict(contents, wanted, source), contents
        else:
            config, weights, tokenizer, stage, facts = open_own(contents, source)
            if SCORE in weights:
                raise SproutError(
                    f"{source} is a reward model, which scores answers and writes none: score with it by"
                    " scripts/score.py, and give a language model here"
                )
            config = _agree(config, wanted, source)
    weights = fitting_state_dict(weights, config, source)
    tokenizer, weights = _choose_tokenizer(tokenizer, tokenizer_path, weights, source)
    config = config.replace(
        vocab_size=weights[EMBEDDING].shape[0],
        pad_token_id=tokenizer.pad_id,
        bos_token_id=tokenizer.bos_id,
        eos_token_id=tokenizer.eos_id,
    )
    model = Transformer(config, initialize_weights=False)
    tied = {HEAD: weights[EMBEDDING]} if config.tie_word_embeddings else {}
    model.load_state_dict(weights | tied)  # copies into float32
    return Loaded(model.to(device), tokenizer, stage, facts, str(source), weights[EMBEDDING].dtype)


def open_own(contents: dict, source: Path) -> tuple[TransformerConfig, dict, Tokenizer, str, dict]:
    """Configuration, weights, tokenizer, stage and facts of a weight of ours, of a language or a reward model.

    Raises `SproutError` for what is none, or not as Sprout writes it.
    """
    if contents.get("format") == "sprout-lora":
        raise SproutError(
            f"{source} holds adapters without their network: use it by --lora, or make a whole weight of it by"
            " scripts/merge_lora.py"
        )
    if contents.get("format") != FORMAT or "model" not in contents:
        raise SproutError(
            f"{source} is not a weight of Sprout (its keys are {', '.join(map(str, list(contents)[:5]))}):"
            " give a file that a training stage wrote, not one to resume from"
        )
    if isinstance(contents.get("version"), int) and contents["version"] > VERSION:
        raise SproutError(f"{source} was written by a newer Sprout (format {contents['version']}): update this one")
    wrong = [key for key, kind in _KINDS.items() if not isinstance(contents.get(key), kind)]
    if not wrong:
        files = contents["tokenizer"].get("files")
        texts = isinstance(files, dict) and all(isinstance(text, str) for pair in files.items() for text in pair)
        names = all(isinstance(name, str) for name in contents["model"])
        wrong = ["tokenizer"] * (not texts) + ["model"] * (not names)
        wrong += ["stage"] * (not contents["stage"].isprintable())  # it is shown, and must not steer the terminal
    if wrong:
        raise SproutError(f"{source} is not a weight as Sprout writes it: its {wrong[0]} is missing or of a wrong kind")
    try:
        config = TransformerConfig.from_dict(contents["config"])
        tokenizer = Tokenizer.from_files(contents["tokenizer"]["files"])
    except SproutError as error:  # not the user's command line, even where it is a UsageError
        raise SproutError(f"{source}: {error}") from error
    return config, contents["model"], tokenizer, contents["stage"], contents["facts"]


def _agree(config: TransformerConfig, wanted: dict, source: Path) -> TransformerConfig:
    """`config` with the few values that may be changed; a contradiction of another is a `UsageError`."""
    changes = {name: value for name, value in wanted.items() if name in _MAY_DIFFER}
    refuse_contradictions(config.to_dict(), {k: v for k, v in wanted.items() if k not in changes}, source)
    return config.replace(**changes)


def _choose_tokenizer(own: Tokenizer | None, path, weights: dict, source: Path) -> tuple[Tokenizer, dict]:
    """The tokenizer to use, and the weights with a row for each of its tokens.

    An embedding may have more rows than the tokenizer has tokens (Qwen pads it), never fewer.
    """
    rows = weights[EMBEDDING].shape[0]
    if own is None and path is None:
        chosen = Tokenizer.load()
        if chosen.vocab_size != rows:
            raise SproutError(
                f"{source} carries no tokenizer, and its {rows} tokens are not those of the shipped one:"
                " give --tokenizer_path"
            )
        print(
            f"warning: {source} carries no tokenizer; taking the shipped one, of the same size",
            file=sys.stderr,
        )
    else:
        chosen = own if path is None else Tokenizer.load(path)
    if own is not None and chosen.fingerprint != own.fingerprint:
        weights = resize_embeddings(weights, own, chosen)
    rows = weights[EMBEDDING].shape[0]
    if rows < chosen.vocab_size:
        raise SproutError(
            f"{source} has embeddings for {rows} tokens, but the tokenizer has {chosen.vocab_size}: give its own"
        )
    return chosen, weights
