"""Says in one sentence what stopped a command: something wrong with its input, or a limit of the machine."""

import errno
import os
import re
import sys
from pathlib import Path

from model.errors import SproutError, UsageError, counted, on_one_line

_PLAINER = (
    (r"\Aargument ([^:]+): ", r"\1: "),
    (r": invalid ((?:whole )?number) value: (.*)\Z", r": \2 is not a \1"),
    (r": expected (?:one|at least one) argument\Z", " needs a value"),
    (r": not allowed with argument (.*)\Z", r" does not go with \1: give one of them"),
    (r": ignored explicit argument (.*)\Z", r" takes no value, and \1 is given"),
    (r"\Athe following arguments are required: ", "missing: "),
    (r"\Aone of the arguments (.*) is required\Z", r"one of these is needed: \1"),
)


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
    sentence = _refused_by_machine(error)
    if sentence is None:
        return None
    _say(sentence)
    return 1


def usage_error(message: str) -> UsageError:
    """What argparse says of a command line, in plainer words."""
    for pattern, words in _PLAINER:
        message = re.sub(pattern, words, message)
    return UsageError(f"{message} (see --help)")


def _refused_by_machine(error: BaseException) -> str | None:
    """What disk, file system or memory would not do, and what to do about it; None for a mistake in our own code."""
    if isinstance(error, OSError):
        return _refused_by_files(error)
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # pathlib before Python 3.13
        return f"{error}: check the path, a link in it leads to itself"
    if isinstance(error, (MemoryError, RuntimeError)) and _is_out_of_memory(error):
        reason = str(error).splitlines()[0] if str(error) else "no reason is given"
        return (
            f"the memory is used up ({reason}): make --batch_size, --max_seq_len or the network smaller;"
            " what was saved before is intact"
        )
    return None


def _refused_by_files(error: OSError) -> str | None:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"the disk is full ({error}): make room; what was saved before is intact"
    if error.errno in (errno.EIO, errno.ESTALE) or (error.errno == errno.EROFS and error.filename is None):
        return f"the disk or network drive fails ({error}): check it; what was saved before is intact"
    if error.errno is None or error.filename is None:
        return None
    advice = "check the path and the rights to it"
    if isinstance(error, FileExistsError):
        advice = "choose another folder, since a file is in its place"
    return f"{error.filename}: {error.strerror}: {advice}"


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
