"""Reads `run.json`, which describes a run besides its curve."""

import json
from dataclasses import fields
from pathlib import Path

from model.errors import SproutError
from training.report.description import NAME, Description


def read_description(folder: Path) -> Description | None:
    """The description in a log folder, or None. Fields that other versions of Sprout add are ignored.

    Raises `SproutError` for a file that is damaged.
    """
    path = Path(folder) / NAME
    if not path.exists():
        return None
    try:
        if not path.is_file():  # a pipe would be waited for
            raise ValueError("it is no file")
        values = json.loads(path.read_text(encoding="utf-8"))
        return Description(
            **{field.name: _checked(values.get(field.name), field.type) for field in fields(Description)}
        )
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise SproutError(f"{path} is damaged ({error}): move it away, and the curve alone is judged") from error


def _checked(value, declared):
    """`value` if it is None or has the declared type; a number must not be negative or infinite."""
    wanted = {str | None: str, int | None: int, float | None: (int, float)}[declared]
    usable = value is None or (isinstance(value, wanted) and not isinstance(value, bool))
    if not usable or (isinstance(value, int | float) and not 0 <= value < 1e30):
        raise ValueError(f"{value!r} is no value for it")
    return value
