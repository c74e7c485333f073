"""The process that runs tools: it reads calls from its standard input, a line of JSON each, and answers in kind.

    {"schemas": [...]} or {"refused": "..."}                          once, when the tools are loaded or cannot be
    {"name": "add", "arguments": {"a": 1}}  ->  {"text": "2", "failed": false}

Started by `inference/tools/running.py`. It ends with its input, which ends with the parent, however that ends; a call
that goes on then is ended by a clock of its own.
"""

import faulthandler
import json
import os
import signal
import sys
from collections.abc import Callable

from inference.tools.loading import load
from model.errors import SproutError

SPARE_SECONDS = 1.0  # the parent stops a call first; this is for when there is no parent any more


def main(sources: list[str], start_seconds: float, call_seconds: float, characters: int) -> None:
    """Serves calls until the input ends. characters: how long a result may be; the rest is cut."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    calls, answers = _own_pipes()
    own = os.getpid()
    nowhere = open(os.devnull, "w")

    def answer(value: dict) -> None:
        answers.write(json.dumps(value).encode("ascii") + b"\n")
        answers.flush()

    def end_after(seconds: float) -> None:
        # A clock outside Python: it also ends a computation that lets no other thread of Python run.
        faulthandler.dump_traceback_later(seconds + SPARE_SECONDS, exit=True, file=nowhere)

    end_after(start_seconds)
    try:
        tools = load(sources)
    except SproutError as error:
        answer({"refused": str(error)})
    else:
        answer({"schemas": [schema for schema, _ in tools.values()]})
        faulthandler.cancel_dump_traceback_later()
        for line in calls:
            call = json.loads(line)
            end_after(call_seconds)
            text, failed = perform(tools[call["name"]][1], call["arguments"])
            if os.getpid() != own:  # a copy that the tool has forked: it would answer once more
                os._exit(0)
            answer({"text": cut(text, characters), "failed": failed})
            faulthandler.cancel_dump_traceback_later()
    os._exit(0)  # waits for no thread that a tool has begun


def perform(function: Callable, arguments: dict) -> tuple[str, bool]:
    """What a function returns, as text, or what it raises, and whether it failed."""
    try:
        value = function(**arguments)
    except ValueError as error:  # by which a tool says what is wrong
        return str(error) or "ValueError", True
    except BaseException as error:  # a tool may raise anything, SystemExit too; the process goes on
        return f"{type(error).__name__}: {error}", True
    if isinstance(value, str):
        return value, False
    try:
        text = json.dumps(value, ensure_ascii=False, default=_plain)
        json.loads(text, parse_constant=_refuse_constant)
        return text, False
    except OverflowError:
        return f"{function.__name__} returned a number that is not finite, which is no JSON", True
    except Exception:  # a value of any class, which may raise anything
        return f"{function.__name__} returned a {type(value).__name__}, which is no JSON", True


def _plain(value):
    """A number or an array of numpy or torch as one of Python. Raises `AttributeError` for other values."""
    return value.tolist()


def _refuse_constant(name: str):
    """NaN and Infinity, which Python writes, and JSON does not have."""
    raise OverflowError(name)


def cut(text: str, characters: int) -> str:
    """The text, or its beginning and how much is missing; half a surrogate pair, which is no text, is a ?."""
    if len(text) > characters:
        text = f"{text[:characters]}... [{len(text) - characters} more characters are cut]"
    return text.encode("utf-8", "replace").decode("utf-8")


def _own_pipes():
    """Input and output of the calls, as files of bytes, out of the reach of a tool.

    What a tool prints goes to standard error, and what it would read from standard input is empty.
    """
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)
    return calls, answers
