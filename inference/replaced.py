"""Output files that may take the place of an earlier result of ours, and of nothing else."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from model.errors import UsageError


def refuse_strangers(flag: str, path: Path, is_ours: bool, what: str) -> None:
    """Raises `UsageError` if something is at `path` that is not ours. what: what `path` would be if it were."""
    if os.path.lexists(path) and not is_ours:
        raise UsageError(
            f"{path} exists already and is not {what}, so it is left as it is: give another name with {flag}"
        )


def refuse_inputs(flag: str, path: Path, inputs: Iterable[str]) -> None:
    """Raises `UsageError` if `path` is one of the files that are read, under whatever name."""
    for taken in inputs:
        if path.exists() and os.path.exists(taken) and os.path.samefile(path, taken):
            raise UsageError(f"{flag} {path} would replace {taken}, which is read: give another name")


def has_keys(path: Path, *keys: str) -> bool:
    """Whether the file is one JSON object with these keys."""
    try:
        content = json.loads(path.read_bytes()) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.keys() >= set(keys)
