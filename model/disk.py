"""Files that are whole or absent, whatever happens while they are written; and written by one process at a time.

A lock between processes is taken back by the operating system when its owner dies, however it dies.
"""

import errno
import os
import platform
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from model.errors import SproutError

HOST = f"{zlib.crc32(platform.node().encode()):08x}"  # containers that share a folder may share process numbers


def previous_path(path: str | Path) -> Path:
    """Where the save before `path` is kept: `pretrain_512.pth` -> `pretrain_512.previous.pth`."""
    path = Path(path)
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def write_atomically(path: str | Path, write: Callable[[BinaryIO], None], keep_previous: bool = False) -> None:
    """Writes a file through `write(file)` so that `path` holds the old bytes or all of the new, never a part.

    The bytes go to a temporary file in the same folder, reach the disk (fsync), and are renamed. With
    `keep_previous` the file that was there before becomes `previous_path(path)`. The new file takes its
    place first: even if the old one turns out to be damaged, a whole file is there at every moment.

    Raises `SproutError` if the disk is full or cannot be written; the old files are then untouched. Whatever
    goes wrong, an exception of `write` included, the temporary file is removed.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{HOST}-{os.getpid()}.tmp")
    kept = path.with_name(f".{path.name}.{HOST}-{os.getpid()}.kept.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        keep_previous = keep_previous and path.exists()
        if keep_previous and not _link(path, kept):
            # No hard links here (exFAT, network drives): for a moment the old file has its new name only.
            os.replace(path, previous_path(path))
            keep_previous = False
        os.replace(temporary, path)
        sync_folder(path.parent)
        if keep_previous:
            os.replace(kept, previous_path(path))
            sync_folder(path.parent)
    except OSError as error:
        from model.unwritable import cannot_write

        raise cannot_write(path, error, path.exists() or previous_path(path).exists()) from error
    finally:
        _remove(temporary)
        _remove(kept)


def _link(path: Path, other: Path) -> bool:
    """Gives the file at `path` the second name `other`; False where the file system cannot."""
    try:
        _remove(other)
        os.link(path, other)
    except OSError:
        return False
    return True


def _remove(path: Path) -> None:
    """Removes a file that may be absent; a disk that refuses must not hide the error being reported."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes renames in `folder` survive a power cut, where folders can be synced (not on Windows)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def sweep_temporaries(folder: str | Path) -> list[Path]:
    """Removes what processes that were killed left half-written, and returns it; to be called before we write."""
    if not (found := list(Path(folder).glob(".*.tmp"))):
        return []
    from model.processes import remove_those_of_the_dead  # nothing is left behind by most runs

    return remove_those_of_the_dead(found, HOST, previous_path)


# --- one process at a time --------------------------------------------------------------------------


@contextmanager
def exclusive(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path`; if another process has it, call `on_wait` once and wait.

    The file stays when the lock is given back: whoever removed it could remove it under a third process.
    Raises SproutError where the file system knows no locks.
    """
    with open(path, "ab") as file:
        waiting = False
        while not take(file.fileno(), path):
            if not waiting:
                on_wait()
            waiting = True
            time.sleep(0.1)
        yield  # closing the file gives the lock back


def take(descriptor: int, path: Path) -> bool:
    """Takes the lock of the open file `path` if it is free, until the file is closed; says whether it was."""
    try:
        return _try_lock(descriptor)
    except OSError as error:
        raise SproutError(f"{path} cannot be locked ({error.strerror}): use a local disk") from error


if os.name == "nt":
    from model.windows import try_lock as _try_lock
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
