"""Other processes of this machine."""

import os


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
