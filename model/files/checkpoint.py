"""Checkpoints: what they hold and how they are written; `model/files/reading.py` reads them.

A weight (`out/pretrain_512.pth`) is a dictionary

    {"format": "sprout", "version": 1, "config": {...}, "tokenizer": {"fingerprint": ..., "files": {...}},
     "stage": "pretrain", "facts": {"step": ..., ...}, "model": {parameter name: tensor}}

and opens with no flags (`model/files/loading.py`).
"""

from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO

import torch
from torch import nn

from model.disk import write_atomically
from model.text.tokenizer import Tokenizer
from model.whole import plain_state_dict, unwrapped

FORMAT, VERSION = "sprout", 1
ADAPTER_FOLDER = "lora"  # in --out_dir: adapters are no networks, and are kept apart from them


def save_checkpoint(path: str | Path, contents: dict) -> None:
    """Writes `contents` whole or not at all, and keeps the file that was there as `previous_path(path)`.

    Only tensors and plain Python values go in: `read_checkpoint` opens nothing else, and a file that cannot be opened
    again must fail now (`TypeError`), not on the day it is needed. Raises `SproutError` if the disk is full.
    """
    _check_plain(contents, "contents")
    write_atomically(path, lambda file: save_to(file, contents), keep_previous=True)


def save_to(file: BinaryIO, contents: dict) -> None:
    """`torch.save`, but where writing fails, as on a full disk: torch hides the `OSError` behind an assertion."""
    try:
        torch.save(contents, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


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
