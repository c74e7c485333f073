"""Whether a folder can be written, asked before the work that is to go into it."""

import os
from pathlib import Path

from model.errors import SproutError


def refuse_unwritable(folder: str | Path, flag: str = "--out_dir") -> None:
    """Raises `SproutError` where a folder can neither be made nor written, before the work that is to go into it.

    flag: the flag that names the folder.
    """
    nearest = Path(folder)
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if not os.path.isdir(nearest):
        raise SproutError(f"{folder} cannot be written, since {nearest} is not a folder: choose another {flag}")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise SproutError(f"{folder} cannot be written ({nearest} is not writable): choose another {flag}")
