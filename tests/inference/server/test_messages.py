"""Messages of a request as turns: which thoughts the network sees again."""

import pytest

from inference.server.messages import read_messages

USER, TOOL = {"role": "user", "content": "?"}, {"role": "tool", "content": "5"}
CALLS = [{"function": {"name": "f", "arguments": "{}"}}]


def thinks(thought: str, **more) -> dict:
    return {"role": "assistant", "content": "", "reasoning": thought} | more


@pytest.mark.parametrize(
    ("messages", "shown"),
    [
        ([USER, thinks("a"), USER], [None]),
        ([USER, thinks("a"), USER, thinks("b", tool_calls=CALLS), TOOL], [None, "b"]),
        ([thinks("a", tool_calls=CALLS), TOOL, thinks("b", tool_calls=CALLS), TOOL], ["a", "b"]),  # nobody has asked
    ],
)
def test_thoughts_are_shown_up_to_the_next_turn_of_the_user(messages, shown):
    turns = read_messages({"messages": messages})
    assert [turn.get("reasoning_content") for turn in turns if turn["role"] == "assistant"] == shown
