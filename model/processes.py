"""Other processes of this machine, and what the dead among them left behind."""

import os
import re
from pathlib import Path

_TEMPORARY = re.compile(r"\..+\.(\d+)\.(tmp|kept\.tmp)")  # as `model.disk.write_atomically` names them


def is_another_living_process(process: int) -> bool:
    """Whether `process` is the number of a living process that is not this one."""
    if process == os.getpid():
        return False
    if os.name != "posix":
        return True  # no harmless way to ask (on Windows signal 0 is Ctrl-C); the file is overwritten in time
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def remove_those_of_the_dead(temporaries: list[Path]) -> list[Path]:
    """Removes temporary files whose process no longer lives, and returns them.

    A file under our own process number is one of a dead process that had the same (common in containers).
    """
    removed = []
    for path in temporaries:
        match = _TEMPORARY.fullmatch(path.name)
        if match and path.is_file() and not is_another_living_process(int(match[1])):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed
