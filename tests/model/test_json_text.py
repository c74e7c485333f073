"""JSON for any reader: without Infinity, NaN and halves of characters."""

import json
import math

import pytest

from model.json_text import json_text


def refuse(name: str):
    pytest.fail(f"{name} is no JSON")


@pytest.mark.parametrize("layout", [{}, {"indent": 1}, {"ensure_ascii": True}])
def test_what_json_cannot_say_is_null_or_an_escape(layout):
    value = {"a": math.inf, "b": [1.5, (math.nan, {"c": -math.inf})], "d": "\ud800中", "e": "Infinity", "f": 2**70}
    text = json_text(value, **layout)
    text.encode("utf-8")
    again = json.loads(text, parse_constant=refuse)
    assert again == {"a": None, "b": [1.5, [None, {"c": None}]], "d": "\ud800中", "e": "Infinity", "f": 2**70}
    assert ("\n" in text, "中" in text) == ("indent" in layout, "ensure_ascii" not in layout)


def test_a_value_may_be_nested_as_deep_as_a_file_may():
    value = math.nan
    for _ in range(900):
        value = [value]
    assert json_text(value) == "[" * 900 + "null" + "]" * 900
