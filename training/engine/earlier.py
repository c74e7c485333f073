"""The result of an earlier run, which a new one of the same name must not destroy. Loaded only where there is one."""

import time
from pathlib import Path


def moved_aside(files: list[Path], output) -> Path:
    """The folder to which `files` were moved, which `training.engine.output.Output` would write."""
    folder = output.folder / "earlier" / f"{output.weight_file.stem}_{time.strftime('%Y-%m-%d_%H%M%S')}"
    while folder.exists():  # an earlier result was moved in this second
        folder = folder.with_name(f"{folder.name}+")
    folder.mkdir(parents=True)
    for path in files:
        path.rename(folder / ("logs" if path == output.logs else path.name))
    return folder
