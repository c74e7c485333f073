"""Keys of records that change nothing of what is learned: perhaps a part of it, under a name that is not known here."""

import itertools
import re
from collections.abc import Iterable

from dataset.records.formats import BadLine, BadRecord, RecordKind
from dataset.records.marks import is_followed
from dataset.records.reading import read_records

LOOKED_AT = 50  # records of a file
# What a record says about itself, not what is learned of it.
ABOUT = re.compile(
    r"(^|_)(ids?|idx|index|uuid|hash|source|origin|url|link|lang|language|domain|topic|category|tags?|skill|task|type"
    r"|split|dataset|subset|model|author|date|time|timestamp|created|version|license|meta|metadata|info|tokens|length"
    r"|difficulty|level|score|scores|quality|flaw)(_|$)|^_"
)


def unread_keys(path: str, kind: RecordKind) -> list[str]:
    """The keys in the first records of a file without which each of them would be read as the same document."""
    read, unread = set(), {}
    records = itertools.islice(read_records(path), LOOKED_AT)
    for fields in (record.fields for record in records if not isinstance(record, BadLine)):
        found = kind.find_format(fields)
        try:
            whole = found and found.read(fields)
        except BadRecord:
            continue
        for key, value in fields.items():
            if found is None or key in found.keys | read or value in (None, "", [], {}) or is_followed(key, value):
                continue
            try:
                same = found.read({name: each for name, each in fields.items() if name != key}) == whole
            except BadRecord:
                same = False
            if same:
                unread[key] = None
            else:
                read.add(key)
    return [key for key in unread if key not in read and not ABOUT.search(key)]


def warnings_about_keys(caches: Iterable) -> list[str]:
    """A warning for each file whose records say something that is not read; `dataset.cache.texts.Cache`s."""
    found = [(cache.source, unread_keys(cache.source, cache.RECORDS)) for cache in caches]
    return [f"the records in {source} have keys that are not read: {listed(keys)}" for source, keys in found if keys]


def listed(keys: list[str]) -> str:
    shown = [f'"{" ".join(key.split())[:40]}"' for key in keys[:8]]
    return ", ".join(shown) + (", ..." if len(keys) > 8 else "")
