"""Reading the calls that a model writes: whatever it is, it comes to calls and errors, and never raises."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.tools.arguments import BadCall, checked
from inference.tools.calls import MAX_CALLS, MAX_CHARACTERS, Call, parse_calls
from inference.tools.schemas import schema_of
from tests.inference.tools import toolfile
from tests.support import examples

ADD = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
ONE = Call("add", {"a": 1})

READ = {
    "Hello.": [],
    ADD: [ONE],
    f"I see.\n{ADD}\n{ADD} and": [ONE, ONE],
    '<tool_call>{"name":"add","arguments":"{\\"a\\": 1}"}</tool_call>': [ONE],
    '<tool_call>{"name": "now"}</tool_call>': [Call("now")],
    '<tool_call>{"name": "now", "arguments": ""}</tool_call>': [Call("now")],
    '<tool_call>{"name": "写", "arguments": {"字": "a\nb"}}</tool_call>': [Call("写", {"字": "a\nb"})],
    f"<think>\n{ADD}\n</think>\n\nNo.": [],
    f"<think>\n{ADD}": [],
    f"<think>\nhm\n</think>\n\n{ADD}": [ONE],
}
WRONG = {
    "<tool_call>": "no </tool_call>",
    '<tool_call>{"name": "add"}': "no </tool_call>",
    "<tool_call></tool_call>": "must be JSON",
    "<tool_call>add(1)</tool_call>": "must be JSON of the form",
    "<tool_call>{'name': 'add'}</tool_call>": "must be JSON",
    '<tool_call>{"name": "add", "arguments": {"a": NaN}}</tool_call>': "NaN is no JSON",
    '<tool_call>{"name": "add", "arguments": "{"}</tool_call>': "arguments must be JSON",
    '<tool_call>{"name": "add", "arguments": [1]}</tool_call>': "no JSON object",
    '<tool_call>{"name": "add", "arguments": "[1]"}</tool_call>': "must be a JSON object",
    '<tool_call>{"name": 3}</tool_call>': "names no function",
    "<tool_call>[]</tool_call>": "must be a JSON object",
    f"<tool_call>{'[' * 5000}</tool_call>": "nested too deeply",
    f'<tool_call>{{"name": "f", "arguments": {"[" * 99}{"]" * 99}}}</tool_call>': "nested too deeply",
    f'<tool_call>{{"name": "f", "arguments": {{"a": 1{"0" * 5000}}}}}</tool_call>': "must be JSON",
    f"<tool_call>{' ' * MAX_CHARACTERS}1</tool_call>": "too long",
    # Neither can be written as JSON again, which a server and the process that runs tools do.
    '<tool_call>{"name": "f", "arguments": {"a": 1e999}}</tool_call>': "too large",
    '<tool_call>{"name": "\\ud800"}</tool_call>': "half a character",
    '<tool_call>{"name": "f", "arguments": "{\\"a\\": \\"\\\\ud800\\"}"}</tool_call>': "half a character",
}


@pytest.mark.parametrize("text", READ)
def test_calls_are_read(text):
    assert parse_calls(text) == READ[text]


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_what_cannot_be_read_is_an_error_for_the_model(text):
    (call,) = parse_calls(text)
    assert WRONG[text] in call.error and len(call.error) < 300


def test_an_unclosed_call_does_not_hide_the_next():
    first, second = parse_calls(f'<tool_call>{{"name": "x"}}\n{ADD}')
    assert "no </tool_call>" in first.error and second == ONE


def test_too_many_calls_share_one_error():
    calls = parse_calls(ADD * 50)
    assert len(calls) == MAX_CALLS + 1 and calls[:MAX_CALLS] == [ONE] * MAX_CALLS and "50 calls" in calls[-1].error


WORDS = (
    "<tool_call>",
    "</tool_call>",
    '{"name": ',
    '"add"',
    '"arguments": ',
    "{",
    "}",
    "[",
    '"',
    "\\",
    "1e999",
    "\ud800",
)


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=30).map("".join))
@settings(max_examples=examples(150))
def test_no_text_raises(text):
    calls = parse_calls(text)
    assert all(isinstance(call.arguments, dict) for call in calls)


def parameters_of(function):
    return schema_of(function, "")["function"]["parameters"]


GIVEN = {
    '{"a": 1}': {"a": 1},
    '{"a": 1.0, "b": -3}': {"a": 1, "b": -3},
    "{}": "add needs the argument a",
    '{"a": 1.5}': "a must be a whole number, not 1.5",
    '{"a": true}': "a must be a whole number, not true",
    '{"a": "1"}': 'a must be a whole number, not "1"',
    '{"a": null}': "a must be a whole number, not null",
    '{"a": 1, "c": 2}': "add has no argument c; its arguments are: a, b",
}
MORE = {
    "{}": "weather needs the argument city",
    '{"city": "B", "days": [1]}': {"city": "B", "days": [1]},
    '{"scale": "F", "wind": null, "limits": {"low": 3}}': {"scale": "F", "wind": None, "limits": {"low": 3.0}},
    '{"grid": [[1, 2.5], []], "more": {"x": [null]}}': {"grid": [[1.0, 2.5], []], "more": {"x": [None]}},
    '{"scale": "K"}': 'scale must be one of "C", "F", not "K"',
    '{"wind": 1}': "wind must be true or false, not 1",
    '{"limits": {"low": "x"}}': 'limits.low must be a number, not "x"',
    '{"grid": [[1, "2"]]}': 'grid[0][1] must be a number, not "2"',
    '{"grid": 3}': "grid must be a list, not 3",
    '{"more": []}': "more must be an object, not []",
    '{"limits": {"low": 1e999}}': "limits.low is too large a number",
    f'{{"limits": {{"low": {"9" * 400}}}}}': "limits.low is too large a number",
}
CASES = [(toolfile.add, *item) for item in GIVEN.items()] + [(toolfile.weather, *item) for item in MORE.items()]


@pytest.mark.parametrize(("function", "text", "expected"), CASES)
def test_arguments_are_those_of_the_tool(function, text, expected):
    name, arguments = function.__name__, json.loads(text)
    if function is toolfile.weather and arguments:
        arguments = {"city": "B", "days": [1]} | arguments
    if isinstance(expected, str):
        with pytest.raises(BadCall) as caught:
            checked(name, parameters_of(function), arguments)
        assert str(caught.value) == expected
        return
    expected = ({} if function is toolfile.add else {"city": "B", "days": [1]}) | expected
    found = checked(name, parameters_of(function), arguments)
    assert json.dumps(found) == json.dumps(expected)  # floats are floats
