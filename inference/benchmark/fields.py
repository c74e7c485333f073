"""Reads the fields of a record of a benchmark, none of which is trusted."""

import math
from unicodedata import normalize

from dataset.records.formats import BadRecord, clean_string

LETTERS = "ABCD"
WITHHELD = "take a split with answers"
NO_ANSWER = (None, "", -1, "-1")  # how published files mark items whose answers their authors keep


def text_of(fields: dict, key: str) -> str:
    return clean_string(fields, key)


def texts_of(fields: dict, key: str, count: int | None = None) -> tuple[str, ...]:
    """A list of two or more texts (of `count`, if that is given)."""
    value = fields.get(key)
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise BadRecord(f'"{key}" is not a list of texts')
    if len(value) < 2 or (count and len(value) != count):
        raise BadRecord(f'"{key}" has {len(value)} texts, not {count or "two or more"}')
    return tuple(clean_string({key: each}, key, may_be_blank=True) for each in value)


def place_of(fields: dict, key: str, count: int) -> int:
    """The place of the right choice, which stands under `key` as a number or as digits."""
    value = fields.get(key)
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 99:  # int takes thousands at most
        value = int(value)
    if isinstance(value, float):  # a column of a table with gaps, which are NaN or null in it
        if math.isnan(value):
            value = None
        elif value.is_integer():
            value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        withheld = value in NO_ANSWER
        why = "is withheld" if withheld else f"is none of 0 to {count - 1}"
        raise BadRecord(f'the right choice under "{key}" {why}', WITHHELD if withheld else "count from 0")
    return value


def is_letter(value) -> bool:
    """Whether a value is A, B, C or D, also as a full-width letter or with blanks around it."""
    return isinstance(value, str) and normalize("NFKC", value).strip() in tuple(LETTERS)


def letter_of(fields: dict, key: str) -> int:
    """The place of the right choice, which stands under `key` as a letter."""
    value = fields.get(key)
    if not is_letter(value):
        withheld = value in NO_ANSWER
        why = "is withheld" if withheld else "is none of A to D"
        raise BadRecord(f'the right choice under "{key}" {why}', WITHHELD if withheld else "")
    return LETTERS.index(normalize("NFKC", value).strip())


def answer_of(fields: dict, key: str = "answer") -> str:
    """A written answer."""
    if fields.get(key) in NO_ANSWER[:2]:
        raise BadRecord(f'the answer under "{key}" is withheld', WITHHELD)
    return text_of(fields, key)
