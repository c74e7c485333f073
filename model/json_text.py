"""Values as JSON that every program reads: Python's own would write Infinity, NaN and half surrogate pairs."""

import json


def json_text(value, **layout) -> str:
    """JSON in one line, if `layout` (as of `json.dumps`: `indent`, ...) says nothing else, and encodable as UTF-8.

    null stands for a number that is not finite, a text for what JSON has no type for, such as a date.
    """
    settings = {"ensure_ascii": False, "default": str} | layout
    try:
        text = json.dumps(value, allow_nan=False, **settings)
    except ValueError:  # there are such numbers, which is rare; the parser, unlike our own code, goes to any depth
        value = json.loads(json.dumps(value, default=str), parse_constant=lambda name: None)
        text = json.dumps(value, **settings)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
