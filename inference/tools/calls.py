"""The calls in what a model wrote: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, one or several.

Whatever a model writes, reading it raises nothing: a call that cannot be read is one with an error, which the model is
given as its result. A thought that comes first calls nothing.
"""

import json
import re
from dataclasses import dataclass, field

from inference.thoughts import conclusion
from inference.tools.arguments import quoted

CALL, CALL_END = "<tool_call>", "</tool_call>"
FORM = '{"name": NAME, "arguments": OBJECT}'

MAX_CALLS = 16  # in one turn
MAX_CHARACTERS = 20_000  # in one call
MAX_NESTING = 50  # of brackets: far from where Python's parser gives up

_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)


@dataclass(frozen=True)
class Call:
    """A function to call; with an `error`, what is wrong with the call, and then it is not made."""

    name: str = ""
    arguments: dict = field(default_factory=dict)
    error: str | None = None
    written: str = field(default="", compare=False)  # what the model wrote between the tags


def parse_calls(text: str) -> list[Call]:
    """All calls of a turn of the assistant, in order."""
    _, *parts = conclusion(text).split(CALL)
    calls = [_call(*part.partition(CALL_END)[:2]) for part in parts[:MAX_CALLS]]
    if len(parts) > MAX_CALLS:
        calls.append(Call(error=f"{len(parts)} calls in one turn are too many: the first {MAX_CALLS} were answered"))
    return calls


def before_calls(text: str, whole: bool = True) -> str:
    """What the assistant says in a turn before its first call; of a turn that is not whole, what surely is before."""
    before, call, _ = text.partition(CALL)
    if not whole and not call:
        start = before.rfind("<")
        before = before[:start] if start >= 0 and CALL.startswith(before[start:]) else before
    return before if whole and not call else before.rstrip()


def _call(content: str, end: str) -> Call:
    if not end:
        return Call(error=f"the call has no {CALL_END} at its end", written=content)
    try:
        value = _object(content, "a call")
        name, arguments = value.get("name"), value.get("arguments", {})
        if not isinstance(name, str):
            raise ValueError(f"the call names no function: write {FORM}")
        if isinstance(arguments, str):  # JSON within JSON, as OpenAI's servers write it
            arguments = _object(arguments, "arguments") if arguments.strip() else {}
        if not isinstance(arguments, dict):
            raise ValueError(f"the arguments are no JSON object: write {FORM}")
    except ValueError as error:
        return Call(error=str(error), written=content)
    return Call(name, arguments, written=content)


def _object(text: str, what: str) -> dict:
    """The JSON object that a text is. Raises `ValueError` that says what is wrong with it."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{what} of {len(text)} characters is too long: at most {MAX_CHARACTERS}")
    if _nesting(text) > MAX_NESTING:
        raise ValueError(f"{what} is nested too deeply")
    try:
        value = json.loads(text, parse_constant=_refuse_constant, strict=False)
    except ValueError as error:  # also for a number of too many digits
        reason = str(error).split(": line", 1)[0]
        raise ValueError(f"{what} must be JSON of the form {FORM}, but {reason}: {quoted(text.strip())}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be a JSON object: write {FORM}")
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # what is read has to be written again
    except ValueError as error:  # 1e400, which Python reads as infinite; half of a surrogate pair
        raise ValueError(f"{what} holds a number that is too large, or half a character") from error
    return value


def _nesting(text: str) -> int:
    """How deep the brackets outside strings are."""
    depth = deepest = 0
    for character in _STRING.sub("", text):
        depth += (character in "[{") - (character in "]}")
        deepest = max(deepest, depth)
    return deepest


def _refuse_constant(name: str):
    raise ValueError(f"{name} is no JSON")
