"""Stop strings, and the parts of a chat answer, in text that comes in pieces."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.server.answers import ChatAnswer, message_of
from inference.server.stops import StopStrings

SHORT = st.text("ab", max_size=4)


def test_an_empty_stop_string_stops_nothing():
    stream = StopStrings(["", "b"])
    assert (stream.push("a"), stream.found) == ("a", False)
    assert (stream.push("ab"), stream.found) == ("a", True)


@given(st.lists(st.text("ab", max_size=3), max_size=8), st.lists(SHORT.filter(len), max_size=4))
def test_a_text_ends_before_the_first_stop_string(pieces, stops):
    stream, said = StopStrings(stops), ""
    for number, piece in enumerate(pieces):
        said += stream.push(piece)
        come = "".join(pieces[: number + 1])
        assert come.startswith(said)
        if stream.found:
            break
        assert not any(stop in come for stop in stops)  # it is found as soon as it has come
        held = come[len(said) :]
        assert not held or any(stop.startswith(held) for stop in stops)  # nothing is held back without need
    else:
        assert said + stream.finish() == "".join(pieces)
        return
    assert said == come[: min(place for stop in stops if (place := come.find(stop)) >= 0)]


CALL = '<tool_call>\n{"name": "f", "arguments": {"x": "你"}}\n</tool_call>'


def answer_to(text: str, tools: bool, size: int, beginning: str = "") -> tuple[dict, bool]:
    answer = ChatAnswer(tools, beginning)
    deltas = []
    for start in range(0, len(text), size):
        deltas += answer.push(text[start : start + size])
    deltas += answer.finish()
    return message_of(deltas), answer.called


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_thought_content_and_calls_are_told_apart(size):
    message, called = answer_to(f"<think>\nhm\n</think>\n\nLook: {CALL}\n{CALL}", True, size)
    assert called and message["content"] == "Look:"
    assert message["reasoning"] == message["reasoning_content"] == "hm"
    assert [call["function"] for call in message["tool_calls"]] == [{"name": "f", "arguments": '{"x": "你"}'}] * 2
    assert len({call["id"] for call in message["tool_calls"]}) == 2


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_what_is_no_call_is_content(size):
    assert answer_to(CALL, False, size) == ({"role": "assistant", "content": CALL, "refusal": None}, False)
    broken = "So <tool_call>\n{nothing"
    assert answer_to(broken, True, size)[0]["content"] == broken
    message, _ = answer_to(CALL, True, size)
    assert message["content"] is None and "reasoning" not in message
    assert answer_to("a < b <tool", True, size)[0]["content"] == "a < b <tool"


def test_an_answer_that_has_to_call_goes_on_from_its_beginning():
    beginning, rest = CALL[:30], CALL[30:]
    message, called = answer_to(rest, True, 2, beginning)
    assert called and json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"x": "你"}
