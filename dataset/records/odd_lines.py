"""Lines that are no JSON object or no UTF-8: what they are instead, and what to do about it."""

import codecs
import functools
import json
import os
from shlex import quote

from dataset.records.formats import BadLine, Record
from model.errors import SproutError

# Encodings of Chinese text that are not UTF-8; GB18030 contains GBK and GB2312.
CHINESE = ("gb18030", "big5")
UNPACKS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}

UNKNOWN, NO_TEXT, NOT_TEXT = "the shape is unknown", "there is no text", "not a text file"
OTHER_KIND, NOT_DATA = "the record is of another kind", "not a data file"
OTHER_FORMAT = "the record is of another format"
HOLDS_JSON = "it holds JSON: end its name in .jsonl, or in .json if it is one array"

# How files with a wrong name begin, and what to do about them.
OTHER_FILES = {
    b"\x1f\x8b": "it is compressed by gzip: end its name in .gz",
    b"BZh": "it is compressed by bzip2: end its name in .bz2",
    b"\xfd7zXZ": "it is compressed by xz: end its name in .xz",
    b"\x28\xb5\x2f\xfd": "it is compressed by Zstandard: end its name in .zst",
    b"PAR1": "it is a parquet file: end its name in .parquet",
    b"ARROW1": "it is a file of Arrow: end its name in .arrow",
    b"%PDF-": "it is a PDF: save its text, not the PDF itself",
    b"PK\x03\x04": "it is a zip archive or a weight, not data, or a workbook: save that as CSV in UTF-8",
    b"\xff\xfe": "it is UTF-16 or UTF-32: save it as UTF-8",
    b"\xfe\xff": "it is UTF-16: save it as UTF-8",
    b"\0\0\xfe\xff": "it is UTF-32: save it as UTF-8",
}

# Keys of what stands beside a text or a chat; their values are not read by any format, benchmark or stage.
NOT_READ = frozenset(
    "id uid uuid idx index url uri link hash date time timestamp created updated license version".split()
)

# How texts begin that somebody saved in place of JSON lines, in small letters, and what to do about them.
OTHER_TEXTS = {
    "<!doctype html": "it is a web page: download the file that the page shows",
    "<html": "it is a web page: download the file that the page shows",
    "version https://git-lfs": "it is what Git LFS leaves in place of a large file: fetch the file by git lfs pull",
}


def refused(line: BadLine, advice: str = "correct it, or leave such lines out with --on_bad_line skip") -> SproutError:
    """The error for a line at which a run stops, and what to do about it: the advice, where it is about one line."""
    if line.reason == OTHER_FORMAT:  # its detail says what to do
        return SproutError(str(line))
    # No record before had a known shape, and the others are likely to have the same.
    if line.reason in (UNKNOWN, OTHER_KIND) or (line.reason == NO_TEXT and line.line == 1):
        return SproutError(f"{line}: {another_file(line.path)}")
    if line.reason in (NOT_TEXT, NOT_DATA) or ("iconv" in line.detail and line.line == 1):  # it is the whole file
        return SproutError(str(line))
    if line.reason == "not UTF-8" and "iconv" not in line.detail:  # one line is damaged, or all are in some encoding
        advice = advice.replace("correct it", "correct it, save the file as UTF-8", 1)
    return SproutError(f"{line}: {advice}")


def another_file(path: str | os.PathLike) -> str:
    """What to do about a file whose records have a shape that is not accepted."""
    is_table = str(path).lower().endswith((".csv", ".tsv"))
    return "name its columns so in the first line, or give another file" if is_table else "give another file"


def read_oddity(path: str, number: int, text: str, value) -> Record | BadLine:
    """A line of JSON that is no object with keys of its own. value: what it is, or the error that it raised."""
    if isinstance(value, LookupError):
        value = value_of_copies(text)
    if isinstance(value, KeyTwice):
        return BadLine(path, number, "a key stands twice in one object", f'"{value}": leave one of the two out')
    if isinstance(value, RecursionError):
        return BadLine(path, number, "not valid JSON", "nested too deeply")
    if isinstance(value, ValueError):
        for beginning, what in OTHER_TEXTS.items():
            if number == 1 and text.lower().startswith(beginning):
                return BadLine(path, number, NOT_DATA, what)
        return BadLine(path, number, "not valid JSON", _why(text, value))
    if isinstance(value, dict):
        fields = in_lower_case(path, number, value)
        return fields if isinstance(fields, BadLine) else Record(path, number, fields)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        first = {key.lower() for key in value[0]}
        for key, name in (("role", "messages"), ("from", "conversations"), ("human", "conversation")):
            if key in first:  # an array of turns or rounds, as nanochat writes a conversation
                return Record(path, number, {name: value})
    return BadLine(path, number, "not a JSON object", f"found {_json_type(value)}")


class KeyTwice(Exception):
    """Of two values under one key of an object, one would be lost. The argument: the key, on one line."""


def members_once(members: list[tuple[str, object]]) -> dict:
    """The object of these members. Raises `KeyTwice`, unless all values but null are equal, or of `NOT_READ`."""
    found = {}
    for key, value in members:
        if found.get(key) is None:
            found[key] = value
        elif value not in (None, found[key]) and key.lower() not in NOT_READ:
            raise KeyTwice(" ".join(key.split())[:40])
    return found


def value_of_copies(text: str):
    """The value of a line of JSON with a key that stands twice in an object, or the error that it raises."""
    try:
        return json.loads(text, object_pairs_hook=members_once)
    except (KeyTwice, RecursionError, ValueError) as error:
        return error


def in_lower_case(path: str, number: int, fields: dict) -> dict | BadLine:
    """The values by key in lower case; a bad line where one of two that are read would be lost by that.

    Of keys that differ in case alone, a null counts for nothing, and equal values for one. Those of `NOT_READ` stay as
    they are written.
    """
    lower, found = [key.lower() for key in fields], {}
    for key, name in zip(fields, lower, strict=True):
        item = fields[key]
        if name in NOT_READ and lower.count(name) > 1:
            found[key] = item
        elif found.get(name) is None:
            found[name] = item
        elif item is not None and item != found[name]:
            twice = " ".join(name.split())[:40]
            return BadLine(path, number, "two keys are the same but for upper case", f'"{twice}": rename one of them')
    return found


def _why(text: str, error: ValueError) -> str:
    if text.strip() == "{":
        return "the object goes on in the next line: write one object a line"
    why = str(error)
    if isinstance(error, json.JSONDecodeError):
        what = error.msg.strip(": ").removesuffix(" at")  # "Unterminated string starting at", "Invalid \\escape: "
        why = f"{what} at column {error.colno}"
    return why if text.endswith("\n") else f"{why}; the last line has no end: is the file cut short?"


def _json_type(value) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def no_text(path: str, number: int, line: bytes) -> BadLine:
    """A line that is not UTF-8, or has no place in a text file: what it is instead."""
    for beginning, what in OTHER_FILES.items():
        if number == 1 and line.startswith(beginning):
            return BadLine(path, number, NOT_TEXT, what)
    if b"\0" in line:
        return BadLine(path, number, "contains a NUL byte", "is the file UTF-16, or binary?")
    for encoding in CHINESE:
        if _reads_as_chinese(line, encoding) or _file_reads_as_chinese(path, line, encoding):
            how = f"it looks like {encoding.upper()}; convert it: {_conversion(path, encoding.upper())}"
            return BadLine(path, number, "not UTF-8", how)
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1} of the line is 0x{line[error.start]:02x}"
        return BadLine(path, number, "not UTF-8", where)
    raise ValueError("the line is text")


def _conversion(path: str, encoding: str) -> str:
    """The command that writes a copy of a file in UTF-8, unpacked where it is compressed."""
    bare, end = os.path.splitext(path)
    unpacks, to_utf8 = UNPACKS.get(end.lower()), f"iconv -f {encoding} -t UTF-8"
    copy = quote(f"utf8_{os.path.basename(bare if unpacks else path)}")
    return f"{unpacks} -dc {quote(path)} | {to_utf8} > {copy}" if unpacks else f"{to_utf8} {quote(path)} > {copy}"


def _reads_as_chinese(line: bytes, encoding: str) -> bool:
    """Whether most of what is not ASCII becomes common Chinese characters and punctuation."""
    others = _beyond_ascii(line, encoding) or ""
    common = [c for c in others if "\u4e00" <= c <= "\u9fff" or c in "，。、；：？！“”‘’（）《》…—　"]
    return len(others) > 3 and len(common) > 0.9 * len(others)


def _beyond_ascii(line: bytes, encoding: str) -> list[str] | None:
    """The characters that are not ASCII, but half a character at the end; None where a line is in another encoding."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(line)
        return [character for character in text if not character.isascii()]
    except UnicodeDecodeError:
        return None


def _file_reads_as_chinese(path: str, line: bytes, encoding: str) -> bool:
    """Whether the file of a line begins so, where the line itself has too few characters to tell."""
    few = _beyond_ascii(line, encoding)
    if few is None or len(few) > 3:
        return False
    found = os.stat(path)
    return _begins_as_chinese(path, encoding, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=2)  # of a file with many such lines
def _begins_as_chinese(path: str, encoding: str, size: int, written: int) -> bool:
    """size, written: they tell a file from what it was."""
    with open(path, "rb") as file:
        found = file.read(2**16)
    lines = [line for line in found.split(b"\n") if not line.isascii()]
    utf8 = sum(_beyond_ascii(line, "utf-8") is not None for line in lines)  # read as GB18030, that is Chinese as well
    return 2 * utf8 < len(lines) and _reads_as_chinese(found, encoding)
