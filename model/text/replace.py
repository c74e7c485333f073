"""Writing a tokenizer into a folder that may hold another one, which is kept aside."""

import os
from pathlib import Path

from model.disk import previous_path
from model.errors import SproutError
from model.text.tokenizer import FILE_NAMES, Tokenizer


def keep_aside(folder: Path, new_files: dict[str, str]) -> list[Path]:
    """Renames the tokenizer that is in the folder, unless it is the one to be written; returns its files."""
    old = [folder / name for name in FILE_NAMES if (folder / name).exists()]
    if all(path.read_bytes() == new_files.get(path.name, "").encode("utf-8") for path in old):
        return []
    for path in old:
        os.replace(path, previous_path(path))
    return old


def replace_tokenizer(folder: Path, new: Tokenizer) -> list[Path]:
    """Writes the files of `new`; those of the tokenizer that was there are kept aside, or stay if that fails.

    Returns what was kept. Raises `SproutError` where the folder cannot be written.
    """
    old = keep_aside(folder, new.files)
    try:
        new.save(folder)
    except SproutError:
        for name in new.files if old else ():
            (folder / name).unlink(missing_ok=True)
        for path in old:
            os.replace(previous_path(path), path)
        raise
    return [previous_path(path) for path in old]
