"""Other processes of this machine, and what the dead among them left behind."""

import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

# As `model.disk.write_atomically` names them; earlier it left out the host.
_TEMPORARY = re.compile(r"\.(.+)\.(?:([0-9a-f]{8})-)?(\d+)\.(tmp|kept\.tmp)")
_DAY = 24 * 60 * 60


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


def remove_those_of_the_dead(temporaries: list[Path], host: str, previous: Callable[[Path], Path]) -> list[Path]:
    """Removes temporary files and folders whose process no longer lives, and returns them. host: the name of this one
    in them. previous: where the save before a file belongs; one that its process could not bring there any more goes
    there. What this user may not remove stays.

    A file under our own process number is one of a dead process that had the same (common in containers). Whether a
    process of another host lives cannot be asked; its file is removed once nothing was written to it for a day.
    """
    removed = []
    for path in temporaries:
        match = _TEMPORARY.fullmatch(path.name)
        is_folder = path.is_dir() and not path.is_symlink()  # that an export was writing
        if not match or not (is_folder or path.is_file()):
            continue
        if _untouched(path) if match[2] not in (None, host) else not is_another_living_process(int(match[3])):
            file = path.with_name(match[1])
            with suppress(PermissionError):  # another user's, in a folder such as /tmp: it is in nobody's way
                if match[4] == "kept.tmp" and _is_the_save_before(path, file, previous(file)):
                    os.replace(path, previous(file))
                    continue
                shutil.rmtree(path, ignore_errors=True) if is_folder else path.unlink(missing_ok=True)
                removed.append(path)
    return removed


def _is_the_save_before(kept: Path, file: Path, previous: Path) -> bool:
    """Whether the process died when the new `file` had taken its place, and the one before had not got its own name."""
    if file.exists() and file.samefile(kept):
        return False
    return not previous.exists() or previous.stat().st_mtime_ns < kept.stat().st_mtime_ns


def _untouched(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _DAY
    except FileNotFoundError:  # its own process has done with it
        return False
