"""From a Python function to the schema by which a chat template shows it to a model.

    {"type": "function", "function": {"name": ..., "description": ..., "parameters": a JSON schema of an object}}

This is the form of OpenAI and Hermes, as `transformers.utils.get_json_schema` makes it, without what is returned.
Names, types and defaults come from the signature; the descriptions come from the docstring, those of arguments from a
section `Args:` in Google's style, if it has one.
"""

import inspect
import re
import types
import typing
from collections.abc import Callable

from model.errors import SproutError

KINDS = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}
KNOWN = "str, int, float, bool, list[...], dict[str, ...], Optional[...] and Literal[...]"

_SECTION = re.compile(r"^(Args|Returns|Raises):[ \t]*$", re.MULTILINE)
_ARGUMENT = re.compile(r"(\w+)(?:[ \t]*\([^()]*\))?:[ \t]*(.*)")


def schema_of(function: Callable, file: str) -> dict:
    """The schema of a function that was read from `file`.

    Raises `SproutError` that names file and line: without a docstring, for an argument without a type, and for what a
    model cannot give in JSON by name.
    """
    line = inspect.unwrap(function).__code__.co_firstlineno
    name = function.__name__

    def refuse(what: str) -> SproutError:
        return SproutError(f"{file}, line {line}: {what}")

    described, of_arguments = _descriptions(inspect.getdoc(function) or "")
    if not described:
        raise refuse(f"{name} has no docstring, by which a model knows what it does: write a sentence there")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise refuse(f"{name} is no plain function that returns its result: remove async or yield")
    try:
        hints = typing.get_type_hints(function)
    except Exception as error:  # whatever evaluating an annotation raises
        raise refuse(f"the types of {name} cannot be read ({error})") from error
    properties, required = {}, []
    for argument in inspect.signature(function).parameters.values():
        if argument.kind not in (argument.POSITIONAL_OR_KEYWORD, argument.KEYWORD_ONLY):
            raise refuse(f"{name} takes {argument}, but a model gives every argument by its name")
        if argument.name not in hints:
            raise refuse(f"the argument {argument.name} of {name} has no type: write {argument.name}: str, say")
        try:
            properties[argument.name] = schema_of_type(hints[argument.name])
        except TypeError as error:
            raise refuse(f"the argument {argument.name} of {name} is {error}, but a tool takes {KNOWN}") from error
        if argument.name in of_arguments:
            properties[argument.name]["description"] = of_arguments[argument.name]
        if argument.default is argument.empty:
            required.append(argument.name)
    parameters = {"type": "object", "properties": properties} | ({"required": required} if required else {})
    return {"type": "function", "function": {"name": name, "description": described, "parameters": parameters}}


def schema_of_type(hint) -> dict:
    """The JSON schema of a type. Raises `TypeError` that names one that has none here."""
    if hint in KINDS:
        return {"type": KINDS[hint]}
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType) and len(inner) == 2 and types.NoneType in inner:
        return schema_of_type(next(one for one in inner if one is not types.NoneType)) | {"nullable": True}
    if origin is typing.Literal and all(type(value) in (str, int, bool) for value in inner):
        kinds = list(dict.fromkeys(KINDS[type(value)] for value in inner))
        return {"type": kinds if len(kinds) > 1 else kinds[0], "enum": list(inner)}
    if origin is list and inner:
        return {"type": "array", "items": schema_of_type(inner[0])}
    if origin is dict and inner and inner[0] is str:
        return {"type": "object", "additionalProperties": schema_of_type(inner[1])}
    raise TypeError(hint.__name__ if isinstance(hint, type) and origin is None else str(hint).replace("typing.", ""))


def _descriptions(docstring: str) -> tuple[str, dict[str, str]]:
    """What a docstring says of the function, and of each argument on one line."""
    described, *sections = _SECTION.split(docstring)
    arguments = dict(zip(sections[::2], sections[1::2])).get("Args", "")
    lines = [line for line in arguments.splitlines() if line.strip()]
    found: dict[str, list[str]] = {}
    for line in lines:
        begins = _ARGUMENT.fullmatch(line.strip()) if _indent(line) == _indent(lines[0]) else None
        if begins:
            found[begins[1]] = [begins[2]]
        elif found:
            found[next(reversed(found))].append(line.strip())
    return described.strip(), {name: " ".join(filter(None, words)) for name, words in found.items()}


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
