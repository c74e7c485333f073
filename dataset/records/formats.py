"""What a record may look like, and the checks that the readers of all formats share.

A kind of record (text, chat, preference, ...) comes in one or several formats; which one a file has is seen from the
keys of its first record (`dataset.records.documents.detect_format`). The kinds other than text stand beside their
readers: `chat_formats.CHAT`, `preferences.PREFERENCE`, `scored.SCORED`; all of them are listed in `kinds`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

# One document has to fit in memory several times over while it is tokenised. A longer line is nearly always
# a file without line ends, so it is reported, never cut.
MAX_LINE_BYTES = 10 * 2**20


@dataclass(frozen=True)
class Record:
    """One JSON object, parquet row or text block. `line` counts from 1; keys are in lower case."""

    path: str
    line: int
    fields: dict


@dataclass(frozen=True)
class BadLine:
    """A line that cannot be used. `reason` is one of a few fixed phrases (it is counted); `detail` is free."""

    path: str
    line: int
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True)
class Format:
    """A shape of records: the keys it needs, and the function that reads one."""

    name: str
    shape: str  # an example, shown to somebody whose record fits no format
    keys: frozenset[str]
    read: Callable[[dict], object]  # from fields, with keys in lower case, to a document; raises BadRecord
    looks_right: Callable[[dict], bool] = lambda fields: True  # looks at values, where the keys do not decide

    def fits(self, fields: dict) -> bool:
        return self.keys <= fields.keys() and self.looks_right(fields)


@dataclass(frozen=True)
class RecordKind:
    """What the records of a file stand for, in whatever format.

    name: it goes into the key of a token cache, so it must never change.
    what: says it to somebody who gave such a file to a command that reads another kind.
    formats: the first one that fits a record wins.
    whole: the kind with all its formats, where --format asks for these alone.
    """

    name: str
    what: str
    formats: tuple[Format, ...]
    whole: "RecordKind | None" = None

    def find_format(self, fields: dict) -> Format | None:
        """The format of a record with these fields, keys in lower case; None if none fits."""
        return next((one for one in self.formats if one.fits(fields)), None)


class BadRecord(ValueError):
    """A record of the right format whose content cannot be used; the reason is one of a few fixed phrases."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def clean_string(fields: dict, key: str, may_be_blank: bool = False) -> str:
    """Return the string under `key`, exactly as it stands. Raises BadRecord for anything else."""
    if key not in fields:
        raise BadRecord(f'the key "{key}" is missing', list_keys(fields))
    value = fields[key]
    if not isinstance(value, str):
        raise BadRecord(f'"{key}" is not a string', f"found {type(value).__name__}")
    if not may_be_blank and not value.strip():
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


def list_keys(keys: Iterable[str]) -> str:
    """The keys of a record for an error message, which stays one line however strange the keys are."""
    shown = [" ".join(key.split())[:40] for key in keys]
    return f"keys: {', '.join(shown[:12]) or 'none'}" + (", ..." if len(shown) > 12 else "")


def read_text(fields: dict) -> str:
    """The document of a text record, unchanged. Raises BadRecord."""
    return clean_string(fields, "text")


TEXT = RecordKind(
    "text", "a text, for train_pretrain.py", (Format("text", '{"text": "..."}', frozenset({"text"}), read_text),)
)
