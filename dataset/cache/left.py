"""What processes that were killed have left beside the caches, which may be as large as these."""

import contextlib
import shutil
from pathlib import Path

from model.disk import take
from model.errors import SproutError


def remove_left(cache_dir: Path) -> None:
    """Removes half-built folders on which no process is at work; those that this one may not lock or remove stay."""
    for left in cache_dir.glob("*.building"):
        lock = left.with_suffix(".lock")
        # A cache that can only be read, as one that others have made, is used in spite of what lies beside it.
        with contextlib.suppress(OSError, SproutError), open(lock, "ab") as file:
            if take(file.fileno(), lock):
                shutil.rmtree(left, ignore_errors=True)
