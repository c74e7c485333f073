"""Moves the result of an earlier run out of the way of a new one."""

import time
from pathlib import Path


def move_aside(files: list[Path], output) -> Path:
    """Moves `files` of an `Output` to <folder>/earlier/<name>_<time>/, and returns that folder."""
    folder = output.folder / "earlier" / f"{output.weight_file.stem}_{time.strftime('%Y-%m-%d_%H%M%S')}"
    while folder.exists():  # an earlier result was moved in this second
        folder = folder.with_name(f"{folder.name}+")
    folder.mkdir(parents=True)
    for path in files:
        path.rename(folder / ("logs" if path == output.logs else path.name))
    return folder
