"""From a file to records: `.jsonl`, `.txt` (both also `.gz`) and `.parquet`, streamed in flat memory.

Nothing read here is trusted. What concerns the whole file (it is missing, empty, of an unknown type) raises;
what concerns one line is yielded as a `BadLine`, so that the caller decides whether to stop or to count and
go on. Blank lines of a `.jsonl` file carry nothing and are passed over; every other line is either yielded as
a record or as a bad line.
"""

import gzip
import json
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from dataset.records.formats import MAX_LINE_BYTES, BadLine, Record
from model.errors import SproutError, UsageError

ACCEPTED = (".jsonl", ".jsonl.gz", ".txt", ".txt.gz", ".parquet")

UTF8_BOM = b"\xef\xbb\xbf"

# How files begin that have the wrong name, and what to do about them.
BEGINNINGS = {
    b"\x1f\x8b": "it is compressed by gzip: end its name in .gz",
    b"PAR1": "it is a parquet file: end its name in .parquet",
    b"PK\x03\x04": "it is a zip archive or a weight, not data",
    b"\xff\xfe": "it is UTF-16 or UTF-32: save it as UTF-8",
    b"\xfe\xff": "it is UTF-16: save it as UTF-8",
    b"\0\0\xfe\xff": "it is UTF-32: save it as UTF-8",
}


def check_file(path: str | Path) -> str:
    """Return the type of the file, as the end of its name says: one of `ACCEPTED`.

    Raises UsageError for an extension we do not read, SproutError for a file that is missing, empty or not
    a file: cheap enough to ask of every file before the first one is read.
    """
    path = Path(path)
    if os.path.isdir(path):  # unlike Path.is_dir, it does not raise for a name that no file can have
        raise SproutError(f"{path} is a folder: name the files in it, each ending in {', '.join(ACCEPTED)}")
    file_type = next((end for end in ACCEPTED if path.name.lower().endswith(end)), None)
    if file_type is None:
        hint = ""
        if path.suffix.lower() == ".json":
            hint = "; write one JSON object a line, for example with: jq -c '.[]' in.json > out.jsonl"
        raise UsageError(f"{path} is not a data file: its name must end in {', '.join(ACCEPTED)}{hint}")
    try:
        found = os.stat(path)
    except FileNotFoundError as error:
        raise SproutError(f"{path}: there is no such file: check the name") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = getattr(error, "strerror", None) or error
        raise SproutError(f"{path} cannot be opened ({reason}): check the name and the rights") from error
    if not stat.S_ISREG(found.st_mode):
        raise SproutError(f"{path} is not a regular file: copy what is in it to one")
    if found.st_size == 0:
        raise SproutError(f"{path} is empty: give a file with records")
    return file_type


def read_records(path: str | Path, progress: Callable[[int], None] | None = None) -> Iterator[Record | BadLine]:
    """Yield every record of a file in order, and a `BadLine` for each line that is not one.

    `progress` is called now and then with the number of bytes of the file, as it lies on disk, read so far.
    Raises SproutError / UsageError for the whole file (see `check_file`).
    """
    file_type = check_file(path)
    if file_type == ".parquet":
        from dataset.records.parquet import parquet_rows

        for number, fields in parquet_rows(str(path), progress):  # the row stands for the line
            yield BadLine(str(path), number, "not UTF-8") if fields is None else Record(str(path), number, fields)
        return
    lines = _decoded(str(path), _lines(str(path), progress))
    if file_type.startswith(".jsonl"):
        yield from _json_lines(str(path), lines)
    else:
        from dataset.records.plain_text import text_blocks  # files of JSON do not load it

        yield from text_blocks(str(path), lines)


def _lines(path: str, progress: Callable[[int], None] | None) -> Iterator[tuple[int, bytes] | BadLine]:
    """Yield (line number, bytes of the line with its end), and a `BadLine` for what is not a line at all."""
    number = 0
    zipped = path.lower().endswith(".gz")
    try:
        with open(path, "rb") as raw, gzip.GzipFile(fileobj=raw) if zipped else raw as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if progress and number % 64 == 0:
                    progress(raw.tell())
                if number == 1:
                    line = line.removeprefix(UTF8_BOM)
                if len(line) <= MAX_LINE_BYTES:
                    if line:
                        yield number, line
                    continue
                while not line.endswith(b"\n") and (line := file.readline(MAX_LINE_BYTES)):
                    pass
                yield BadLine(path, number, f"the line is longer than {MAX_LINE_BYTES // 2**20} MiB")
    # Only decompression raises these three: the end is missing, the check sum is wrong, the data are damaged.
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        yield BadLine(path, number + 1, "the gzip data are damaged or cut short from here on", str(error))
    except OSError as error:
        raise SproutError(f"{path}:{number + 1}: cannot be read: {error.strerror or error}") from error


def _decoded(path: str, lines: Iterator) -> Iterator[tuple[int, str] | BadLine]:
    for item in lines:
        text = item if isinstance(item, BadLine) else _decode(path, *item)
        yield text if isinstance(text, BadLine) else (item[0], text)


def _decode(path: str, number: int, line: bytes) -> str | BadLine:
    for beginning, what in BEGINNINGS.items():
        if number == 1 and line.startswith(beginning):
            return BadLine(path, number, "not a text file", what)
    if b"\0" in line:
        return BadLine(path, number, "contains a NUL byte", "is the file UTF-16, or binary?")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1} of the line is 0x{line[error.start]:02x}"
        return BadLine(path, number, "not UTF-8", where)


def _refuse_constant(name: str):
    raise ValueError(f"{name} is not a JSON value")


# NaN and Infinity are extensions of Python's own parser; no other reader of the file would accept them.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _json_lines(path: str, lines: Iterator) -> Iterator[Record | BadLine]:
    for item in lines:
        if isinstance(item, BadLine):
            yield item
        elif item[1].strip():
            yield _json_object(path, *item)


def _json_object(path: str, number: int, text: str) -> Record | BadLine:
    try:
        value = _DECODER.decode(text.strip())
    except RecursionError:
        return BadLine(path, number, "not valid JSON", "nested too deeply")
    except ValueError as error:  # JSONDecodeError, our _refuse_constant, an integer of thousands of digits
        detail = str(error)
        if isinstance(error, json.JSONDecodeError):
            detail = f"{error.msg} at column {error.colno}"
        if number == 1 and text.lstrip().startswith("["):
            detail = "the file looks like one JSON array: write one object a line"
        elif text.strip() == "{":
            detail = "the object goes on in the next line: write one object a line"
        elif not text.endswith("\n"):
            detail += "; the last line has no end: is the file cut short?"
        return BadLine(path, number, "not valid JSON", detail)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        if key := {"role": "messages", "from": "conversations"}.get(next(iter(value[0]), "").lower()):
            value = {key: value}  # an array of turns, as nanochat writes a conversation
    if not isinstance(value, dict):
        hint = ": write one object a line" if isinstance(value, list) and number == 1 else ""
        return BadLine(path, number, "not a JSON object", f"found {_json_type(value)}{hint}")
    return Record(path, number, {key.lower(): item for key, item in value.items()})


def _json_type(value) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
