"""Why a file cannot be written, in one sentence. Loaded only to say it."""

import errno
import shutil
from pathlib import Path

from model.errors import SproutError

ROOM, RIGHTS = "make room or choose another folder", "choose another folder, or allow writing there"


def remedy(error: Exception, room: str = ROOM, rights: str = RIGHTS) -> str:
    """What helps against an error of writing: `room` on a disk, or where writing is not allowed, `rights`."""
    others = {
        **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), rights),
        **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "choose another folder, since a file is in its place"),
        **dict.fromkeys((errno.EIO, errno.ESTALE), "check the disk or network drive"),
        errno.ENOENT: "its folder was moved away or cannot be made, so put it back or choose another folder",
    }
    return others.get(getattr(error, "errno", None), room)


def cannot_write(path: Path, error: OSError, is_intact: bool) -> SproutError:
    """is_intact: whether the file of an earlier save is there."""
    intact = "; the file of the last save is intact" if is_intact else ""
    reason = error.strerror or str(error)
    advice = remedy(error)
    if error.errno == errno.ENOENT and (gone := [each for each in path.parents if not each.exists()]):
        advice = advice.replace("its folder", f"the folder {gone[-1]}")
    if advice != ROOM:
        return SproutError(f"cannot write {path} ({reason}): {advice}{intact}")
    try:
        free = f"{shutil.disk_usage(path.parent).free / 1e9:.2f} GB are free there"
    except OSError:
        free = "the folder cannot be read"
    return SproutError(f"cannot write {path} ({reason}; {free}): {advice}{intact}")
