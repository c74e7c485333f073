"""Whether the arguments that a model gives are those of a tool: its schema, applied to JSON."""

import json
import math

MAX_QUOTED = 60  # characters of what a model wrote that an error repeats


class BadCall(Exception):
    """A call that cannot be carried out. The message is for the model that made it."""


def checked(name: str, parameters: dict, arguments: dict) -> dict:
    """The arguments as the function takes them: those of type float as float, whole numbers such as 3.0 as int.

    name, parameters: of the tool's schema. Raises `BadCall` for an argument that is missing, unknown or wrong.
    """
    properties = parameters["properties"]
    for key in parameters.get("required", ()):
        if key not in arguments:
            raise BadCall(f"{name} needs the argument {key}")
    for key in arguments:
        if key not in properties:
            known = f"its arguments are: {', '.join(properties)}" if properties else "it takes none"
            raise BadCall(f"{name} has no argument {quoted(key)}; {known}")
    return {key: _value(value, properties[key], key) for key, value in arguments.items()}


def _value(value, schema: dict, place: str):
    """`value` as the type of `schema`. The schema, written by a user, is as deep as the value is looked into."""
    if value is None and schema.get("nullable"):
        return None
    if "enum" in schema:
        return _one_of(value, schema["enum"], place)
    match schema["type"]:
        case "integer":
            return _whole_number(value, place)
        case "number":
            return _finite_number(value, place)
        case "string":
            return _instance(value, str, "a string", place)
        case "boolean":
            return _instance(value, bool, "true or false", place)
        case "array":
            items = _instance(value, list, "a list", place)
            if "items" not in schema:
                return items
            return [_value(item, schema["items"], f"{place}[{number}]") for number, item in enumerate(items)]
        case _:  # an object
            members = _instance(value, dict, "an object", place)
            if "additionalProperties" not in schema:
                return members
            inner = schema["additionalProperties"]
            return {key: _value(member, inner, f"{place}.{quoted(key)}") for key, member in members.items()}


def _one_of(value, allowed: list, place: str):
    # In Python 1 == True and 1 == 1.0, in JSON they differ.
    if not any(type(value) is type(other) and value == other for other in allowed):
        raise _wrong(place, f"one of {', '.join(json.dumps(other, ensure_ascii=False) for other in allowed)}", value)
    return value


def _whole_number(value, place: str) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise _wrong(place, "a whole number", value)
    return value


def _finite_number(value, place: str) -> float:
    if type(value) not in (int, float):
        raise _wrong(place, "a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadCall(f"{place} is too large a number")
    return number


def _instance(value, of: type, wanted: str, place: str):
    if not isinstance(value, of):
        raise _wrong(place, wanted, value)
    return value


def _wrong(place: str, wanted: str, value) -> BadCall:
    return BadCall(f"{place} must be {wanted}, not {quoted(json.dumps(value, ensure_ascii=False))}")


def quoted(text: str) -> str:
    """The beginning of what a model wrote, short enough to repeat."""
    return text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "..."
