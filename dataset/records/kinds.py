"""All kinds of records, so that the error about a record of the wrong kind can say which kind it is.

A new kind is added to `KINDS`. This module is loaded only when something does not fit: a command reads one kind, and
loads the readers of that one.
"""

from collections.abc import Sequence
from itertools import zip_longest

from dataset.records.chat_formats import CHAT
from dataset.records.formats import TEXT, BadRecord, Format, RecordKind, list_keys
from dataset.records.odd_lines import OTHER_FORMAT, OTHER_KIND, UNKNOWN
from dataset.records.preferences import PREFERENCE
from dataset.records.prompts import PROMPT, TURNS
from dataset.records.scored import SCORED
from dataset.records.unpaired import UNPAIRED
from model.errors import UsageError

KINDS = (TEXT, UNPAIRED, CHAT, PREFERENCE, SCORED, PROMPT)
# Names of columns in Chinese, and what formats call them.
IN_ENGLISH = {
    **dict.fromkeys(("问题", "提问", "问"), "question"),
    **dict.fromkeys(("回答", "答案", "答"), "answer"),
    **dict.fromkeys(("文本", "正文", "内容"), "text"),
    "指令": "instruction",
    "输入": "input",
    "输出": "output",
}


def find_kind(fields: dict, kinds: Sequence[RecordKind]) -> tuple[RecordKind, Format] | None:
    """The kind and format of a record, for a command that reads several kinds; None if none fits.

    A record with turns, or with a question and its answer, is that, whatever `text` stands beside: many files of
    conversations also have them rendered; so is a `text` that begins with a role tag. Among equals the first kind wins.
    """
    fitting = [(kind, found) for kind in kinds if (found := kind.find_format(fields)) is not None]
    return min(fitting, key=lambda each: each[0].name.startswith(TEXT.name), default=None)


def only(kind: RecordKind, name: str | None) -> RecordKind:
    """The kind with the formats of this name alone, as --format asks; all of it for None. Raises UsageError."""
    if name is None:
        return kind
    if not (found := narrowed(kind, name)).formats:
        known = ", ".join(dict.fromkeys(one.name for one in kind.formats))
        raise UsageError(f"--format {name} is no format of {kind.what}: give one of {known}")
    return found


def narrowed(kind: RecordKind, name: str) -> RecordKind:
    """As `only`, which refuses a name that no format has: the kind is without formats then."""
    formats = tuple(one for one in kind.formats if one.name == name)
    # Its caches are others, since the same record may be read as something else.
    return RecordKind(f"{kind.name} as {name}", kind.what, formats, whole=kind)


def unknown_shape(fields: dict, wanted: Sequence[RecordKind]) -> BadRecord:
    """The error for a record of none of the `wanted` kinds.

    It says first what the record is, if it is of another kind, then which accepted shape is nearest and what differs.
    """
    if found := find_kind(fields, [kind.whole for kind in wanted if kind.whole]):
        kind, one = found
        return BadRecord(OTHER_FORMAT, f"this is {kind.what}, in the format {one.name}: leave out --format")
    others = [other for other in KINDS if other not in wanted and other.find_format(fields) is not None]
    if len(others) > 1:
        others = [other for other in others if other is not PROMPT]  # a part of what the others are
    is_another = "".join(f"this is {other.what}; " for other in others)
    if not others and (meant := in_english(fields)):
        is_another = f"{meant}; "
    elif not others and TEXT in wanted and (key := _text_by_another_name(fields)):
        is_another = f'this may be a text with "{key}" in place of "text": rename that key; '
    if inner := [key for key, value in fields.items() if _is_list_of_objects(value)]:
        key = " ".join(inner[0].split())[:40]
        if key in TURNS:
            is_another += f'the first turn of "{key}" says by no "role" or "from" who speaks; '
        else:
            is_another += f'if its records are the list "{key}", save that list as the file; '
    formats = [one for kind in wanted for one in kind.formats]
    nearest = min(formats, key=lambda one: (len(one.keys - fields.keys()), -len(one.keys)))
    missing = ", ".join(f'"{key}"' for key in sorted(nearest.keys - fields.keys()))
    differs = f"{missing} missing" if missing else "but its values are of another shape"
    in_turn = (one for each in zip_longest(*(kind.formats for kind in wanted)) for one in each if one)
    names = list(dict.fromkeys(one.name for one in in_turn if one.name != nearest.name))
    if len(names) > 8:
        names[8:] = ["..."]
    more = f"; or another format: {', '.join(names)}" if names else ""
    accepted = f"{list_keys(fields)}; accepted: {nearest.shape}"
    if others in ([], [PROMPT]):  # nearly every broken record asks something
        return BadRecord(UNKNOWN, f"{is_another}{accepted}, {differs}{more}")
    return BadRecord(OTHER_KIND, f"{is_another}{accepted}{more}")


def in_english(fields: dict) -> str:
    """What a record with columns that are named in Chinese becomes by formats' names for them; "" if nothing."""
    renamed: dict[str, str] = {}
    for key in fields:
        if (name := IN_ENGLISH.get(key)) and name not in fields and name not in renamed.values():
            renamed[key] = name
    found = find_kind({renamed.get(key, key): value for key, value in fields.items()}, KINDS)
    if not renamed or found is None:
        return ""
    old, new = (" and ".join(f'"{name}"' for name in names) for names in (renamed, renamed.values()))
    return f"with {new} in place of {old} this is {found[0].what}"


def _is_list_of_objects(value) -> bool:
    are_objects = isinstance(value, list) and value and all(isinstance(each, dict) for each in value)
    return bool(are_objects) and not any({"role", "from"} & {key.lower() for key in each} for each in value)


def _text_by_another_name(fields: dict) -> str | None:
    """The key of the longest string that may be a text: one of several words, or in Chinese."""
    texts = {key: value for key, value in fields.items() if isinstance(value, str) and len(value) > 10}
    if key := max(texts, key=lambda key: len(texts[key]), default=None):
        return " ".join(key.split())[:40]
    return None
