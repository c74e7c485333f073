"""Rounds of a question and its answer are the same conversation as turns."""

import json

import pytest

from dataset.records.chat_formats import CHAT
from dataset.records.formats import BadRecord

TOOL = {"name": "weather", "parameters": {"type": "object"}}


def in_turns() -> list[dict]:
    """The same, as turns."""
    return [
        {"role": role, "content": content, **({"weight": 0} if content == "d" else {})}
        for role, content in zip(("user", "assistant") * 2, "abcd")
    ]


ROUNDS = [{"human": "a", "assistant": "b"}, {"human": "c", "assistant": "d", "weight": 0}]


@pytest.mark.parametrize(
    "record",
    [
        {"conversation": ROUNDS, "system": "s", "tools": [TOOL]},
        {"conversations": ROUNDS, "system": "s", "tools": json.dumps([TOOL])},
        {"conversation": [{"system": "s", **ROUNDS[0]}, ROUNDS[1]], "tools": [TOOL]},
        {
            "conversation": {"human": ["a", "c"], "assistant": ["b", "d"], "weight": [1, 0]},
            "system": "s",
            "tools": [TOOL],
        },
        {
            "conversation": [{"input": "a", "output": "b"}, {"input": "c", "output": "d", "loss": False}],
            "system": "s",
            "tools": [TOOL],
        },
        {"conversation": [{"role": "system", "content": "s"}, *in_turns()], "tools": [TOOL]},
        {
            "conversation": [
                {"from": speaker, "value": turn["content"], **({"weight": 0} if "weight" in turn else {})}
                for speaker, turn in zip(("human", "gpt") * 2, in_turns())
            ],
            "system": "s",
            "tools": [TOOL],
        },
    ],
)
def test_rounds_and_turns_under_conversation(record):
    found = CHAT.find_format(record).read(record)
    turns = [{key: value for key, value in turn.items() if key != "weight"} for turn in in_turns()]
    assert found.messages == ({"role": "system", "content": "s"}, *turns)
    assert found.tools == (TOOL,) and found.untrained == {4}


def test_nulls_of_arrow_are_left_out_of_calls_in_rounds():
    call = {"name": "f", "arguments": {"city": "Bonn", "day": None}}
    record = {"conversation": [{"human": "a", "assistant": "", "tool_calls": [call]}]}
    (_, answer) = CHAT.find_format(record).read(record).messages
    assert answer["tool_calls"] == [call | {"arguments": {"city": "Bonn"}}]


def test_a_round_without_question_or_answer_is_named():
    for rounds, reason in (
        ([ROUNDS[0], {"assistant": "d"}], "a round has no question"),
        ([{"human": "a", "assistant": None}], '"content" is empty'),
        ([{"human": "a", "input": "b", "assistant": "c"}], 'a round has "input" beside "human" and "assistant"'),
        ([{"human": "a", "assistant": "b", "ignore": "yes"}], '"ignore" of a turn is not supported'),
        (
            [{"human": "a", "assistant": "b", "output_with_loss": False}],
            '"output_with_loss" of a turn is not supported',
        ),
    ):
        with pytest.raises(BadRecord, match=reason):
            CHAT.find_format({"conversation": rounds}).read({"conversation": rounds})
