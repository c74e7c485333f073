"""Numbers in records: scores, margins, ranks."""

import math

from dataset.records.formats import BadRecord


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
