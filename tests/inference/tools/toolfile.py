"""Tools of a user, of every type that is known, and some that misbehave."""

import os
import sys
import time
from typing import Literal, Optional


def add(a: int, b: int = 2) -> int:
    """Adds two whole numbers."""
    return a + b


def weather(
    city: str,
    days: list[int],
    scale: Literal["C", "F"] = "C",
    wind: Optional[bool] = None,  # noqa: UP045
    limits: dict[str, float] | None = None,
    grid: list[list[float]] = (),
    more: dict | None = None,
):
    """Says what the weather of a city will be.

    It knows nothing, and invents it: 天气。

    Args:
        city: where, such as
            北京 or Bonn
        days: numbers of days from today
        scale (str, optional): of the temperature
        wind: whether to name the wind
        limits: lowest and highest: in degrees
        grid: places
        more: anything

    Returns:
        A sentence.
    """
    return {"city": city, "days": days, "limits": limits, "天": scale}


def echo(text: str) -> str:
    """Says it again.

    Args:
        text: what
    """
    return text


def prints() -> str:
    """Writes where the answers go."""
    print('{"text": "no"}\n[]')
    os.write(1, b"raw\n")
    return "read " + repr(sys.stdin.read())


def waits(seconds: float) -> str:
    """Takes its time."""
    time.sleep(seconds)
    return "done"


def holds(digits: int) -> int:
    """Computes in C, and lets no other thread run."""
    return 9**digits % 7


def forks() -> str:
    """Returns in two processes."""
    os.fork()
    return "once"


def dies() -> str:
    """Ends its process."""
    os._exit(3)


def fails(how: str) -> str:
    """Raises."""
    raise {"exit": SystemExit(4), "value": ValueError("no such thing"), "key": KeyError("k")}[how]


def odd() -> set:
    """Returns what is no JSON."""
    return {1}


def numbers(finite: bool) -> dict:
    """Returns those of numpy."""
    import numpy as np

    return {"n": np.int64(3), "x": np.float32(0.5), "is": np.bool_(True), "all": np.arange(2)} if finite else [np.nan]


def process() -> int:
    """Which process this is."""
    return os.getpid()


def _private(x):
    return x
