"""The lock of a file, as Windows has it; `model/disk.py` takes it elsewhere. Only Windows loads this."""

import msvcrt
import os

# Windows locks bytes from the place on, where reads and writes have come to, and lets nobody else read them. So all
# lock the same one, behind the end of any file that is locked here; the number fits into the 32 bits of old libraries.
PLACE = 2**31 - 2


def try_lock(descriptor: int) -> bool:
    """Takes the lock of an open file, if it is free, until the file is closed; says whether it was."""
    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, PLACE, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except PermissionError:
        return False
    finally:
        os.lseek(descriptor, before, os.SEEK_SET)
    return True
