"""What processes that were killed have left beside the caches, which may be as large as these."""

import shutil
from pathlib import Path

from model.disk import take


def remove_left(cache_dir: Path) -> None:
    """Removes half-built folders on which no process is at work."""
    for left in cache_dir.glob("*.building"):
        lock = left.with_suffix(".lock")
        with open(lock, "ab") as file:
            if take(file.fileno(), lock):
                shutil.rmtree(left, ignore_errors=True)
