"""Data files that cannot be read at all: which names are accepted, and what is wrong."""

import os
import re
import stat
from pathlib import Path

from model.errors import SproutError, UsageError

NAMES = ".jsonl, .ndjson, .json, .txt (also .gz, .bz2, .xz, .zst), .parquet, .arrow, .csv, .tsv"
# How names end of what people have in place of a data file, and what to do about it.
OTHER_ENDS = {
    (".xlsx", ".xls", ".ods"): "save the table as CSV in UTF-8",
    (".zip", ".rar", ".7z", ".tar", ".tgz", ".tar.gz"): "unpack it, and name the files in it",
    (".docx", ".doc", ".odt", ".pdf"): "save its text in UTF-8, with a name that ends in .txt",
}
DASHES = "‐‑‒–—―−－"  # what word processors and Chinese keyboards make of hyphens
MARKS = "“”‘’\"'`,，、;；"  # around a name that was copied, or between two


def refusal(path: Path, file_type: str | None) -> SproutError:
    """The error for a file that `reading.check_file` does not accept; file_type: None if its name says none."""
    if file_type is None:
        return UsageError(f"{path} is not a data file: {_advice(str(path))}")
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


def _advice(name: str) -> str:
    """What to do about a name that no data file has."""
    lower = name.lower()
    for ends, advice in OTHER_ENDS.items():
        if lower.endswith(ends):
            return advice
    if name.startswith(tuple(DASHES)):
        return f"a flag begins with two hyphens, --{name.lstrip(DASHES + '-')}"
    if "：" in name:
        return f"its weight follows a plain colon, {name.replace('：', ':')}"
    if lower.strip(MARKS) != lower and lower.strip(MARKS).endswith(tuple(re.findall(r"\.\w+", NAMES))):
        return "take off the marks beside its name (quotes are \" or ', and spaces separate files)"
    return f"its name must end in {NAMES}" + ("" if Path(name).suffix else "; a name with spaces stands in quotes")
