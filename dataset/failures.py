"""Says in one sentence what stopped a command: something wrong with its input, or a limit of the machine."""

import errno
import os
import sys
from pathlib import Path

from model.errors import SproutError, counted, on_one_line


def exit_code_of(error: BaseException) -> int | None:
    """Says what happened, and returns the exit code; None for what is a mistake in our own code."""
    if isinstance(error, SproutError):
        if os.environ.get("RANK", "0") == "0" or not error.of_all_processes:
            _say(str(error))
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, BrokenPipeError):  # the reader (`| head`) has gone: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            _say(f"the disk is full ({error}): make room; what was saved before is intact")
        elif error.errno in (errno.EIO, errno.ESTALE) or (error.errno == errno.EROFS and error.filename is None):
            _say(f"the disk or network drive fails ({error}): check it; what was saved before is intact")
        elif error.errno is not None and error.filename is not None:  # a place that cannot be used, not a mistake here
            advice = "check the path and the rights to it"
            if isinstance(error, FileExistsError):
                advice = "choose another folder, since a file is in its place"
            _say(f"{error.filename}: {error.strerror}: {advice}")
        else:
            return None
        return 1
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # pathlib before Python 3.13
        _say(f"{error}: check the path, a link in it leads to itself")
        return 1
    if isinstance(error, (MemoryError, RuntimeError)) and _is_out_of_memory(error):
        reason = str(error).splitlines()[0] if str(error) else "no reason is given"
        _say(
            f"the memory is used up ({reason}): make --batch_size, --max_seq_len or the network smaller;"
            " what was saved before is intact"
        )
        return 1
    return None


def cannot_tokenise(source: Path, cache_dir: Path, error: OSError) -> SproutError:
    """What is said where the tokens of a file cannot be written, or the file not be read."""
    from model.unwritable import remedy

    where = f" ({error.filename})" if error.filename else ""
    advice = "see that it is there and may be read" if error.filename in (source, str(source)) else remedy(error)
    return SproutError(f"{source} cannot be tokenised into {cache_dir}: {error.strerror or error}{where}; {advice}")


def _say(message: str) -> None:
    print(f"error: {on_one_line(counted(message))}", file=sys.stderr)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether Python, numpy or torch could not get memory; torch is not imported for it."""
    # torch raises OutOfMemoryError for GPUs only; its allocator for CPUs raises a plain RuntimeError.
    of_torch = type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)
    return isinstance(error, MemoryError) or of_torch
