"""A lock between processes that the operating system takes back when its owner dies, however it dies."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from model.errors import SproutError

if os.name == "nt":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


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
