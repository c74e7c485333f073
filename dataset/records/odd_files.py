"""Data files that cannot be read at all: which names are accepted, and what is wrong."""

import os
import stat
from pathlib import Path

from model.errors import SproutError, UsageError

NAMES = ".jsonl, .ndjson, .json, .txt (also .gz, .bz2, .xz, .zst), .parquet, .arrow, .csv, .tsv"


def refusal(path: Path, file_type: str | None) -> SproutError:
    """The error for a file that `reading.check_file` does not accept; file_type: None if its name says none."""
    if file_type is None:
        return UsageError(f"{path} is not a data file: its name must end in {NAMES}")
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return SproutError(f"{path}: there is no such file: check the name")
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = getattr(error, "strerror", None) or error
        return SproutError(f"{path} cannot be opened ({reason}): check its name and your permissions")
    if not stat.S_ISREG(found.st_mode):
        return SproutError(f"{path} is not a regular file: copy what is in it to one")
    return SproutError(f"{path} is empty: give a file with records")
