"""The lines of a `metrics.jsonl`, read. A run reads them only to draw its curve and to judge it."""

import json
from pathlib import Path

from model.errors import SproutError


def flat(line: dict) -> dict:
    """`line` without nesting: what earlier versions wrote as {"time": {"seconds": 1}} is {"time/seconds": 1}."""
    times = line.get("time", {})
    return {name: value for name, value in line.items() if name != "time"} | {f"time/{n}": v for n, v in times.items()}


def finite(value) -> float | None:
    """A finite number as it is, anything else as None."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    return value if usable else None


def read_metrics(path: str | Path) -> list[dict]:
    """The lines of a `metrics.jsonl`, without a last line that a kill cut short."""
    lines = []
    with open(path, "rb") as file:
        for number, text in enumerate(file, 1):
            if not text.endswith(b"\n"):
                break
            try:
                line = json.loads(text)
                if not isinstance(line, dict) or not isinstance(line.get("step"), int):
                    raise ValueError("it is not a line of a step")
                lines.append(flat(line))
            except (ValueError, RecursionError, AttributeError) as error:  # the last: its times are no object
                raise SproutError(f"{path}:{number} is damaged ({error}): move the file away, or repair it") from error
    return lines
