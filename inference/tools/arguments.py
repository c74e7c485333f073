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
    kind = schema["type"]
    if value is None and schema.get("nullable"):
        return None
    if "enum" in schema:
        # In Python 1 == True and 1 == 1.0, in JSON they differ.
        if not any(type(value) is type(one) and value == one for one in schema["enum"]):
            raise _wrong(
                place, f"one of {', '.join(json.dumps(one, ensure_ascii=False) for one in schema['enum'])}", value
            )
        return value
    if kind == "integer":
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if type(value) is not int:
            raise _wrong(place, "a whole number", value)
    elif kind == "number":
        if type(value) not in (int, float):
            raise _wrong(place, "a number", value)
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise BadCall(f"{place} is too large a number")
    elif kind == "string" and not isinstance(value, str):
        raise _wrong(place, "a string", value)
    elif kind == "boolean" and not isinstance(value, bool):
        raise _wrong(place, "true or false", value)
    elif kind == "array":
        if not isinstance(value, list):
            raise _wrong(place, "a list", value)
        if "items" in schema:
            return [_value(one, schema["items"], f"{place}[{number}]") for number, one in enumerate(value)]
    elif kind == "object":
        if not isinstance(value, dict):
            raise _wrong(place, "an object", value)
        if "additionalProperties" in schema:
            inner = schema["additionalProperties"]
            return {key: _value(one, inner, f"{place}.{quoted(key)}") for key, one in value.items()}
    return value


def _wrong(place: str, wanted: str, value) -> BadCall:
    return BadCall(f"{place} must be {wanted}, not {quoted(json.dumps(value, ensure_ascii=False))}")


def quoted(text: str) -> str:
    """The beginning of what a model wrote, short enough to repeat."""
    return text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "..."
