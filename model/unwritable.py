"""Why a file cannot be written, in one sentence. Loaded only to say it."""

import errno
import shutil
from pathlib import Path

from model.errors import SproutError


def cannot_write(path: Path, error: OSError, is_intact: bool) -> SproutError:
    """is_intact: whether the file of an earlier save is there."""
    intact = "; the file of the last save is intact" if is_intact else ""
    reason = error.strerror or str(error)
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):  # room does not help
        return SproutError(f"cannot write {path} ({reason}): choose another folder, or allow writing there{intact}")
    try:
        free = f"{shutil.disk_usage(path.parent).free / 1e9:.2f} GB are free there"
    except OSError:
        free = "the folder cannot be read"
    return SproutError(f"cannot write {path} ({reason}; {free}): make room or choose another folder{intact}")
