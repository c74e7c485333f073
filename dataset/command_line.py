"""What every command of ours shares: a parser whose errors are one sentence, and `run_main`."""

import argparse
import difflib
import errno
import os
import sys

from model.errors import SproutError, UsageError, on_one_line

# What other programs call flags, where the nearest name would be another.
ELSEWHERE = {
    "--lr": "--learning_rate",
    "--wd": "--weight_decay",
    "--bs": "--batch_size",
    "--seq_len": "--max_seq_len",
    "--max_length": "--max_seq_len",
    "--model": "--from_weight",
    "--load": "--from_weight",
    "--output": "--out_dir",
}


class CommandParser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are `UsageError`s of one sentence; an unknown flag names the nearest known one."""

    def __init__(self, description: str | None = None, **settings):
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **settings,
        )

    def parse_args(self, args=None, namespace=None):
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            raise UsageError(self.unknown_flag(unknown[0]))
        return known

    def error(self, message):
        raise UsageError(f"{message} (see --help)")

    def unknown_flag(self, flag: str) -> str:
        flags = [option for action in self._actions for option in action.option_strings]
        if not flag.startswith("-"):
            hint = ": values follow a flag such as --data_path" if "--data_path" in flags else ""
            return f"unexpected argument {flag!r}{hint} (see --help)"
        name = flag.split("=")[0].replace("-", "_").replace("__", "--", 1)
        close = difflib.get_close_matches(ELSEWHERE.get(name, name), flags, n=1)
        return f"unknown flag {flag}" + (f": did you mean {close[0]}?" if close else " (see --help)")


def run_main(main) -> None:
    """Runs a script's `main`, turning a `SproutError` into one sentence and its exit code.

    So do what the machine refuses: a path that cannot be opened or written, more memory than there is.
    """
    try:
        main()
    except SproutError as error:
        if os.environ.get("RANK", "0") == "0" or not error.of_all_processes:
            _say_error(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader (`| head`) has gone: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            _say_error(f"the disk is full ({error}): make room; the last checkpoint is intact")
        elif error.errno is not None and error.filename is not None:  # a place that cannot be used, not a mistake here
            _say_error(f"{error.filename}: {error.strerror}: check the path and the rights to it")
        else:
            raise
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else "no reason is given"
        _say_error(
            f"the memory is used up ({reason}): make --batch_size, --max_seq_len or the network smaller;"
            " the last checkpoint is intact"
        )
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _say_error(message: str) -> None:
    print(f"error: {on_one_line(message)}", file=sys.stderr)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether Python, numpy or torch could not get memory; torch is not imported for it."""
    # torch.OutOfMemoryError is of GPUs; its allocator for CPUs raises a plain RuntimeError.
    of_torch = type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)
    return isinstance(error, MemoryError) or of_torch
