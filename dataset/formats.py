"""What a record means: its format is detected from its keys, once per file, and printed.

A new format is one more function from a record's fields to what it stands for, and one more `Format`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dataset.reading import MAX_LINE_BYTES


class BadRecord(ValueError):
    """A record of the right format whose content cannot be used; the reason is one of few fixed phrases."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Format:
    """A shape of records: the keys it needs, and the function that reads one."""

    name: str
    shape: str  # what is shown to somebody whose record fits no format
    keys: frozenset[str]
    read: Callable[[dict], str]


def clean_string(fields: dict, key: str) -> str:
    """Return the non-blank string under `key`, exactly as it stands. Raises BadRecord for anything else."""
    if key not in fields:
        raise BadRecord(f'the key "{key}" is missing', list_keys(fields))
    value = fields[key]
    if not isinstance(value, str):
        raise BadRecord(f'"{key}" is not a string', f"found {type(value).__name__}")
    if not value.strip():
        raise BadRecord(f'"{key}" is empty')
    if "\0" in value:
        raise BadRecord(f'"{key}" contains a NUL character')
    if len(value) > MAX_LINE_BYTES:  # a line of JSON cannot be this long, a parquet cell can
        raise BadRecord(f'"{key}" is longer than {MAX_LINE_BYTES // 2**20} MiB')
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRecord(f'"{key}" contains half a surrogate pair', f"character {error.start + 1}") from error
    return value


def text_of(fields: dict) -> str:
    """The document of a text record, unchanged. Raises BadRecord."""
    return clean_string(fields, "text")


TEXT = Format("text", '{"text": "..."}', frozenset({"text"}), text_of)

# What each kind of training accepts, the first that fits wins.
FORMATS: dict[str, tuple[Format, ...]] = {"text": (TEXT,)}


def detect_format(keys: Iterable[str], kind: str) -> Format:
    """The format of a record with these lower-case keys. Raises BadRecord naming the accepted ones."""
    keys = tuple(keys)
    for candidate in FORMATS[kind]:
        if candidate.keys <= set(keys):
            return candidate
    accepted = " or ".join(candidate.shape for candidate in FORMATS[kind])
    raise BadRecord("the shape is unknown", f"{list_keys(keys)}; accepted: {accepted}")


def list_keys(keys: Iterable[str]) -> str:
    """The keys of a record for an error message, which stays one line however strange the keys are."""
    shown = [" ".join(key.split())[:40] for key in keys]
    return f"keys: {', '.join(shown[:12]) or 'none'}" + (", ..." if len(shown) > 12 else "")
