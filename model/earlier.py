"""Moves what was written before out of the way of what is written now."""

import time
from pathlib import Path


def move_to_earlier(files: list[Path], out_dir: Path, name: str, logs: Path | None = None) -> Path:
    """Moves `files` to <out_dir>/earlier/<name>_<time>/, where `logs` becomes "logs", and returns that folder."""
    folder = out_dir / "earlier" / f"{name}_{time.strftime('%Y-%m-%d_%H%M%S')}"
    while folder.exists():  # something of that name was moved in this second
        folder = folder.with_name(f"{folder.name}+")
    folder.mkdir(parents=True)
    for path in files:
        path.rename(folder / ("logs" if path == logs else path.name))
    return folder
