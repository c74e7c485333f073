"""From a file to records, streamed in flat memory: JSON lines and plain texts here, the other types where they are met.

Nothing read here is trusted. What concerns the whole file (it is missing, empty, of an unknown type) raises; what
concerns one line is yielded as a `BadLine`, so that the caller decides whether to stop or to count and go on. Blank
lines of a `.jsonl` file carry nothing; every other line is yielded, as a record or as a bad line.
"""

import contextlib
import gzip
import json
import os
import re
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from dataset.records.formats import MAX_LINE_BYTES, BadLine, Record
from model.errors import SproutError

JSON, TEXTS, TABLES = (".jsonl", ".ndjson", ".json"), (".txt",), (".parquet", ".arrow", ".csv", ".tsv")
COMPRESSED = ("", ".gz", ".bz2", ".xz", ".zst")
ACCEPTED = (*(kind + end for kind in (*JSON, *TEXTS) for end in COMPRESSED), *TABLES)
SAVED = "save_to_disk"  # the type of a folder that `datasets` wrote; no file name ends so

ONE_VALUE = re.compile(rb'(\xef\xbb\xbf)?\s*(\[|\{\s*\n|\{.*"\s*:\s*\[)')  # how a file begins that may be one
# How files begin that are no text; `odd_lines.OTHER_FILES` says which ones.
OTHER_FILES = re.compile(rb"\x1f\x8b|BZh|\xfd7zXZ|\(\xb5/\xfd|PAR1|ARROW1|PK\x03\x04|%PDF-|\xff\xfe|(\0\0)?\xfe\xff")


def files_of(path: str | Path) -> list[Path]:
    """The files that the data are in: this one, or those in the folder of a saved data set (`records.saved`)."""
    return sorted(Path(path).iterdir()) if os.path.isdir(path) else [Path(path)]


def size_of(path: str | Path) -> int:
    return sum(file.stat().st_size for file in files_of(path))


def bar_over(total: int, doing: str, unit: str = "B", shown: bool = True):
    """A progress bar (tqdm) in a terminal; elsewhere, as in a log file, a line every ten seconds."""
    from tqdm import tqdm  # which takes as long as all else that --help needs

    how = {"delay": 1, "leave": False}
    if not sys.stderr.isatty():
        line = "{desc}: {percentage:.0f} % of {total_fmt}{unit}, {remaining} left\n"
        how = {"delay": 10, "mininterval": 10, "bar_format": line}
    return tqdm(total=total, desc=doing, unit=unit, unit_scale=unit == "B", disable=not shown, **how)


def check_file(path: str | Path) -> str:
    """Return the type of the file, as the end of its name says: one of `ACCEPTED`.

    Raises UsageError for an extension we do not read, SproutError for a file that is missing, empty or not
    a file: cheap enough to call for every file before the first one is read.
    """
    path = Path(path)
    if os.path.isdir(path):  # unlike Path.is_dir, it does not raise for a name that no file can have
        from dataset.records.saved import check_folder  # files do not load it

        return check_folder(path)
    file_type = next((end for end in ACCEPTED if path.name.lower().endswith(end)), None)
    with contextlib.suppress(OSError, ValueError):  # ValueError: a NUL character in the name
        found = os.stat(path)
        if file_type and stat.S_ISREG(found.st_mode) and found.st_size:
            return file_type
    from dataset.records.odd_files import refusal  # good files do not load it

    raise refusal(path, file_type)


def read_records(path: str | Path, progress: Callable[[int], None] | None = None) -> Iterator[Record | BadLine]:
    """Yield every record of a file in order, and a `BadLine` for each line that is not one.

    `progress` is called now and then with the number of bytes of the file, as it lies on disk, read so far.
    Raises SproutError / UsageError for the whole file (see `check_file`).
    """
    file_type = check_file(path)
    if file_type in (*TABLES, SAVED):
        from dataset.records.tables import table_rows  # files of lines do not load it

        for number, fields in table_rows(str(path), file_type, progress):  # the row stands for the line
            yield fields if isinstance(fields, BadLine) else Record(str(path), number, fields)
        return
    if not file_type.startswith(TEXTS) and ONE_VALUE.match(next(bytes_of(path, 256), b"")):
        from dataset.records.json_array import elements_of_file  # files of lines do not load it

        if (elements := elements_of_file(str(path), _decompressed, progress)) is not None:
            yield from elements
            return
    lines = _decoded(str(path), lines_of(str(path), progress))
    if file_type.startswith(TEXTS):
        from dataset.records.plain_text import text_blocks  # files of JSON do not load it

        yield from text_blocks(str(path), lines)
    else:
        yield from _json_lines(str(path), lines)


def _decompressed(path: str, raw: IO[bytes]) -> IO[bytes]:
    """What the opened file holds, undone if its name says that it is compressed."""
    if path.lower().endswith(".gz"):
        return gzip.GzipFile(fileobj=raw)
    if path.lower().endswith((".bz2", ".xz", ".zst")):
        from dataset.records.compressed import decompressed

        return decompressed(raw, path)
    return raw


def bytes_of(path: str | Path, size: int = 2**20) -> Iterator[bytes]:
    """What is in the file, in blocks, up to where it is damaged: that is reported where its lines are read."""
    with contextlib.suppress(EOFError, OSError, zlib.error), open(path, "rb") as raw:
        file = _decompressed(str(path), raw)
        while block := file.read(size):
            yield block


def lines_of(path: str, progress: Callable[[int], None] | None = None) -> Iterator[tuple[int, bytes] | BadLine]:
    """Yield (line number, bytes of the line with its end), and a `BadLine` for what is not a line at all."""
    number = 0
    try:
        with open(path, "rb") as raw:
            file = _decompressed(path, raw)
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if progress and number % 64 == 0:
                    progress(raw.tell())
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")  # the mark of UTF-8
                if len(line) <= MAX_LINE_BYTES:
                    if line:
                        yield number, line
                    continue
                while not line.endswith(b"\n") and (line := file.readline(MAX_LINE_BYTES)):
                    pass
                yield BadLine(path, number, f"the line is longer than {MAX_LINE_BYTES // 2**20} MiB")
    # Only decompression raises these three: the end is missing, the checksum is wrong, the data are damaged.
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        yield BadLine(path, number + 1, "the compressed data are damaged or cut short from here on", str(error))
    except OSError as error:
        raise SproutError(f"{path}:{number + 1}: cannot be read: {error.strerror or error}") from error


def _decoded(path: str, lines: Iterator) -> Iterator[tuple[int, str] | BadLine]:
    for item in lines:
        yield item if isinstance(item, BadLine) else _decode(path, *item)


def _decode(path: str, number: int, line: bytes) -> tuple[int, str] | BadLine:
    if not (number == 1 and OTHER_FILES.match(line)) and b"\0" not in line:
        with contextlib.suppress(UnicodeDecodeError):
            return number, line.decode("utf-8")
    from dataset.records.odd_lines import no_text  # good lines do not load it

    return no_text(path, number, line)


def _refuse_constant(name: str):
    raise ValueError(f"{name} is not a JSON value")


def _object(members: list) -> dict:
    if len(found := dict(members)) < len(members):
        raise LookupError("a key stands twice")
    return found


# NaN and Infinity are extensions of Python's own parser; no other reader of the file would accept them.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_object)


def _json_lines(path: str, lines: Iterator) -> Iterator[Record | BadLine]:
    for item in lines:
        if isinstance(item, BadLine):
            yield item
        elif item[1].strip():
            yield _json_object(path, *item)


def _json_object(path: str, number: int, text: str) -> Record | BadLine:
    try:
        value = _DECODER.decode(text.strip())
        if isinstance(value, dict) and len(fields := {key.lower(): item for key, item in value.items()}) == len(value):
            return Record(path, number, fields)
    except (LookupError, RecursionError, ValueError) as error:  # JSONDecodeError, ours, thousands of digits
        value = error
    from dataset.records.odd_lines import read_oddity  # good lines do not load it

    return read_oddity(path, number, text, value)
