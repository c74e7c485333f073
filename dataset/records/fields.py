"""What the readers of all formats share: why a record cannot be used, and texts and JSON checked by one rule."""

import json
import math
from collections.abc import Iterable

from dataset.records.reading import MAX_LINE_BYTES

# Deeper than any schema of a tool, and far from where Python itself gives up.
MAX_NESTING = 100


class BadRecord(ValueError):
    """A record of the right format whose content cannot be used; the reason is one of few fixed phrases."""

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


def finite_number(fields: dict, key: str) -> float:
    """The finite number under `key`; 0 if there is none. Raises BadRecord for anything else."""
    value = fields.get(key)
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRecord(f'"{key}" is not a number')
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadRecord(f'"{key}" is not a finite number')
    return number


def json_objects(fields: dict, key: str) -> list[dict]:
    """The JSON objects under `key`, given as a list, as one object, or as JSON text of either; none if absent.

    Raises BadRecord for anything that is not that, or that JSON and UTF-8 could not say again.
    """
    value = fields.get(key)
    if value is None or (isinstance(value, str) and not value.strip()):
        return []
    try:
        if isinstance(value, str):
            value = json.loads(value)
        if _nesting(value) > MAX_NESTING:
            raise RecursionError
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRecord(f'"{key}" contains half a surrogate pair') from error
    except RecursionError as error:
        raise BadRecord(f'"{key}" is nested too deeply') from error
    except (ValueError, TypeError) as error:  # TypeError: a parquet cell may hold a date, say
        raise BadRecord(f'"{key}" is not valid JSON', str(error)) from error
    if value is None:
        return []
    objects = [value] if isinstance(value, dict) else value
    if not isinstance(objects, list) or not all(isinstance(item, dict) for item in objects):
        raise BadRecord(f'"{key}" is not a list of JSON objects')
    return objects


def _nesting(value) -> int:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return 0
    return 1 + max(map(_nesting, value), default=0)


def list_keys(keys: Iterable[str]) -> str:
    """The keys of a record for an error message, which stays one line however strange the keys are."""
    shown = [" ".join(key.split())[:40] for key in keys]
    return f"keys: {', '.join(shown[:12]) or 'none'}" + (", ..." if len(shown) > 12 else "")
