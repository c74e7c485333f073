"""Which process holds a lock file, and so writes what it guards."""

import os
from pathlib import Path

LOCKS = Path("/proc/locks")


def owner_of(lock: Path) -> int | None:
    """The number of the process that holds a run's lock file; None where that cannot be seen, as over a network.

    Linux lists all locks of this machine; to try the lock itself could turn away a run that begins at that moment.
    """
    try:
        found = os.stat(lock)
        text = LOCKS.read_text()
    except OSError:
        return None
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in text.splitlines():
        # 1: FLOCK  ADVISORY  WRITE 4321 00:2f:1234 0 EOF
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[5] == place and words[4].isdecimal() and words[4] != "0":
            return int(words[4])
    return None
