"""Exports replace earlier exports, and nothing else: a mark in one of their files tells them."""

import json
import time
from pathlib import Path

from safetensors import SafetensorError, safe_open

from model.errors import SproutError

# In config.json, or in the header of weights that have no config. Other programs do not look at it. (The header of a
# network has no mark, since safetensors writes several entries in any order, and equal exports are equal files.)
MARK = {"written_by": "Sprout"}


def earlier_export(folder: str | Path, marked: str = "config.json") -> str | None:
    """When the export was written that a folder holds; None for a folder that is empty or not there.

    marked: the file with the mark. Raises `SproutError` for a folder with anything else in it, which a new export
    would destroy.
    """
    folder = Path(folder)
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    path = folder / marked
    if not MARK.items() <= _marks(path).items():
        raise SproutError(
            f"{folder} holds files that are not an earlier export of Sprout, so they are left as they are: choose"
            " another folder, or move them away"
        )
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))


def _marks(path: Path) -> dict:
    try:
        if path.suffix == ".json":
            values = json.loads(path.read_text(encoding="utf-8"))
            # A folder that transformers has saved keeps all entries, but its weights are no export of ours.
            return values if isinstance(values, dict) and "transformers_version" not in values else {}
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (OSError, ValueError, RecursionError, SafetensorError):
        return {}
