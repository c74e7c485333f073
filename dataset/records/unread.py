"""Keys of records that change nothing of what is learned: perhaps a part of it, under a name that is not known here."""

import itertools
import re
from collections.abc import Iterable, Iterator

from dataset.records.formats import BadLine, BadRecord, RecordKind
from dataset.records.marks import MARKS, is_followed
from dataset.records.reading import read_records

LOOKED_AT = 50  # records of a file
# What a record says about itself, not what is learned of it.
ABOUT = re.compile(
    r"(^|_)(ids?|idx|index|uuid|hash|source|origin|url|link|lang|language|domain|topic|category|tags?|skill|task|type"
    r"|split|dataset|subset|model|author|date|time|timestamp|created|version|license|meta|metadata|info|tokens|length"
    r"|difficulty|level|score|scores|quality|flaw)(_|$)|^_"
)


def unread_keys(path: str, kind: RecordKind) -> list[str]:
    """The keys in the first records of a file without which each of them would be read as the same document; those of
    turns as `messages.key`."""
    read, unread = set(), {}
    records = itertools.islice(read_records(path), LOOKED_AT)
    for fields in (record.fields for record in records if not isinstance(record, BadLine)):
        found = kind.find_format(fields)
        try:
            whole = found and found.read(fields)
        except BadRecord:
            continue
        for key, rest in [*_without_one(fields), *_turns_without_one(fields)] if found else ():
            if key in found.keys | read or (key.partition(".")[0] in unread and "." in key):
                continue
            try:
                same = found.read(rest) == whole
            except BadRecord:
                same = False
            if same:
                unread[key] = None
            else:
                read.add(key)
    return [key for key in unread if key not in read and not ABOUT.search(key.rpartition(".")[2])]


def _without_one(fields: dict) -> Iterator[tuple[str, dict]]:
    """Each key that says something, and the record without it."""
    for key, value in fields.items():
        if value not in (None, "", [], {}) and not is_followed(key, value):
            yield key, {name: each for name, each in fields.items() if name != key}


def _turns_without_one(fields: dict) -> Iterator[tuple[str, dict]]:
    """Each key of turns that says something, and the record without it in any of them."""
    for name, turns in fields.items():
        if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
            continue
        said = {key: None for turn in turns for key, value in turn.items() if value not in (None, "", [], {}, False)}
        for key in said:
            if key.lower() not in (*MARKS, "name"):  # a mark may be one that changes nothing; a name is not shown
                rest = [{other: value for other, value in turn.items() if other != key} for turn in turns]
                yield f"{name}.{key}", fields | {name: rest}


def warnings_about_keys(caches: Iterable) -> list[str]:
    """A warning for each file whose records say something that is not read; `dataset.cache.texts.Cache`s."""
    found = [(cache.source, unread_keys(cache.source, cache.RECORDS)) for cache in caches]
    return [f"the records in {source} have keys that are not read: {listed(keys)}" for source, keys in found if keys]


def listed(keys: list[str]) -> str:
    shown = [f'"{" ".join(key.split())[:40]}"' for key in keys[:8]]
    return ", ".join(shown) + (", ..." if len(keys) > 8 else "")
