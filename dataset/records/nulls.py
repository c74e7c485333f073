"""Nulls that no author wrote: in Arrow, all structs of a column have the same keys, so a call gets those of all others.

A file that passed through Arrow (parquet, or JSON lines written by `datasets`) says
`{"city": "Bonn", "a": null, "b": null}` where its source said `{"city": "Bonn"}`, in arguments and in the schemas of
tools. `dataset.records.arrow` leaves such keys out. In JSON a null may also be meant. It is taken as filled in where
the record looks as Arrow writes it, and the schema of the tool does not allow null; never in JSON text within a record.
"""

VALUES_OF_A_SCHEMA = ("default", "const")


def written_by_arrow(record) -> bool:
    """Whether a record may have passed through Arrow: in each list, all JSON objects have the same keys."""
    left = [record]  # no recursion: a line may be nested deeper than functions may
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list):
            keys = [item.keys() for item in value if isinstance(item, dict)]
            if any(each != keys[0] for each in keys):
                return False
            left += value
    return True


def stated(calls: list[dict], tools: list[dict]) -> list[dict]:
    """Calls, `{"name", "arguments"}`, without the nulls that the schema of their tool does not allow."""
    functions = [tool["function"] if isinstance(tool.get("function"), dict) else tool for tool in tools]
    parameters = {each["name"]: each.get("parameters") for each in functions if isinstance(each.get("name"), str)}
    return [call | {"arguments": _arguments(call["arguments"], parameters.get(call["name"]))} for call in calls]


def _arguments(value, schema):
    """Arguments without the nulls that their schema does not allow."""
    schema = schema if isinstance(schema, dict) else {}
    if isinstance(value, list):
        return [_arguments(item, schema.get("items")) for item in value]
    if not isinstance(value, dict):
        return value
    of = schema.get("properties")
    of = of if isinstance(of, dict) else {}
    return {
        key: _arguments(item, of.get(key))
        for key, item in value.items()
        if item is not None or _allows_null(of.get(key))
    }


def stated_schema(value):
    """A JSON schema without nulls, except for a default that is null where the type may be."""
    if isinstance(value, list):
        return [stated_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = VALUES_OF_A_SCHEMA if _allows_null(value) else ()
    return {key: stated_schema(item) for key, item in value.items() if item is not None or key in kept}


def _allows_null(schema) -> bool:
    if not isinstance(schema, dict):
        return False
    kind, values = schema.get("type"), schema.get("enum")
    if kind == "null" or schema.get("nullable") is True:
        return True
    if (isinstance(kind, list) and "null" in kind) or (isinstance(values, list) and None in values):
        return True
    choices = (schema.get(word) for word in ("anyOf", "oneOf"))
    return any(isinstance(each, list) and any(map(_allows_null, each)) for each in choices)
