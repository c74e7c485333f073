"""Values as JSON that every program reads: Python's own would write Infinity, NaN and half surrogate pairs."""

import json
import math


def json_text(value, **layout) -> str:
    """JSON in one line, if `layout` (as of `json.dumps`: `indent`, ...) says nothing else, and encodable as UTF-8.

    null stands for a number that is not finite, a text for what JSON has no type for, such as a date.
    """
    settings = {"ensure_ascii": False, "default": str} | layout
    try:
        text = json.dumps(value, allow_nan=False, **settings)
    except ValueError:  # there are such numbers, which is rare
        text = json.dumps(_finite(value), **settings)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _finite(value):
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value
