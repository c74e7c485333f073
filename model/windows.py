"""The lock of a file, as Windows has it; `model/disk.py` takes it elsewhere. Only Windows loads this."""

import msvcrt


def try_lock(descriptor: int) -> bool:
    """Takes the lock of an open file, if it is free, until the file is closed; says whether it was."""
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except PermissionError:
        return False
    return True
