"""Every chat format gives the same normal form, and what cannot be used says why."""

import json

import pytest

from dataset.records.chat_formats import CHAT
from dataset.records.conversations import Conversation
from dataset.records.documents import detect_format
from dataset.records.formats import BadRecord
from dataset.records.reading import read_records
from tests.fixtures import samples

USER = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Hello!"}
SYSTEM = {"role": "system", "content": "Be brief."}
TOOL = {"name": "weather", "parameters": {"type": "object"}}
CALL = {"name": "weather", "arguments": {"city": "北京"}}


def read(record: dict) -> Conversation:
    return detect_format(record, CHAT).read(record)


@pytest.mark.parametrize(
    ("name", "record", "expected"),
    [
        ("conversations", {"conversations": [USER, ANSWER], "id": 3}, [USER, ANSWER]),
        ("conversations", {"conversations": [{"Role": "user", "CONTENT": "Hi"}, ANSWER]}, [USER, ANSWER]),
        ("messages", {"messages": [SYSTEM, USER, ANSWER, USER]}, [SYSTEM, USER, ANSWER, USER]),
        ("messages", {"system": "Be brief.", "messages": [USER, ANSWER]}, [SYSTEM, USER, ANSWER]),
        (
            "sharegpt",
            {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]},
            [USER, ANSWER],
        ),
        (
            "sharegpt",
            {
                "conversations": [
                    {"from": "human", "value": "Hi"},
                    {"from": "function_call", "value": json.dumps(CALL)},
                    {"from": "observation", "value": "sun"},
                    {"from": "gpt", "value": "Hello!"},
                ],
                "system": "Be brief.",
            },
            [
                SYSTEM,
                USER,
                {"role": "assistant", "content": "", "tool_calls": [CALL]},
                {"role": "tool", "content": "sun"},
                ANSWER,
            ],
        ),
        ("alpaca", {"instruction": "Hi", "input": "", "output": "Hello!", "text": "Hi Hello!"}, [USER, ANSWER]),
        (
            "alpaca",
            {
                "instruction": "Translate:",
                "input": "新芽",
                "output": "sprout",
                "system": "Be brief.",
                "history": [["Hi", "Hello!"]],
            },
            [
                SYSTEM,
                USER,
                ANSWER,
                {"role": "user", "content": "Translate:\n新芽"},
                {"role": "assistant", "content": "sprout"},
            ],
        ),
        ("prompt/completion", {"prompt": "Hi", "completion": "Hello!"}, [USER, ANSWER]),
        ("prompt/completion", {"prompt": [SYSTEM, USER], "completion": [ANSWER]}, [SYSTEM, USER, ANSWER]),
        ("prompt/response", {"prompt": "Hi", "response": "Hello!"}, [USER, ANSWER]),
        ("inline", {"prompt": "<|user|> Hi <|assistant|> Hello!"}, [USER, ANSWER]),
        ("inline", {"prompt": "<|system|>\nBe brief.\n<|user|>\nHi\n<|assistant|>\nHello!\n"}, [SYSTEM, USER, ANSWER]),
        ("inline", {"text": "用户：Hi\n助手：Hello!"}, [USER, ANSWER]),
        ("inline", {"text": "用户: 问：助手：是什么？\n助手: 是我。\n"}, None),
    ],
)
def test_each_format(name, record, expected):
    assert detect_format(record, CHAT).name == name
    if expected is None:
        expected = [{"role": "user", "content": "问：助手：是什么？"}, {"role": "assistant", "content": "是我。"}]
    assert list(read(record).messages) == expected


def test_contents_are_kept_exactly():
    text = "  \n<think> a\tb\n\n"
    conversation = read({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": text}]})
    assert [message["content"] for message in conversation.messages] == [text, text]


@pytest.mark.parametrize(
    "record",
    [
        {"conversations": [SYSTEM | {"tools": json.dumps([TOOL])}, USER, ANSWER]},
        {"conversations": [SYSTEM | {"tools": [TOOL]}, USER, ANSWER]},
        {"messages": [SYSTEM, USER, ANSWER], "tools": [TOOL]},
        {"messages": [SYSTEM, USER, ANSWER], "tools": TOOL},
        {
            "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}],
            "system": "Be brief.",
            "tools": json.dumps([TOOL]),
        },
    ],
)
def test_tools_stand_on_the_system_message_or_beside_the_turns(record):
    conversation = read(record)
    assert conversation == Conversation((SYSTEM, USER, ANSWER), (TOOL,))


@pytest.mark.parametrize(
    "calls",
    [
        [CALL],
        CALL,
        json.dumps([CALL]),
        [{"type": "function", "id": "call_1", "function": CALL}],
    ],
)
def test_tool_calls_have_one_form(calls):
    conversation = read({"messages": [USER, {"role": "assistant", "content": None, "tool_calls": calls}]})
    assert conversation.messages[1] == {"role": "assistant", "content": "", "tool_calls": [CALL]}


def test_arguments_written_as_json_stay_as_they_are():
    calls = [{"name": "a", "arguments": '{"b":1}'}, {"name": "c"}]
    message = read({"messages": [{"role": "assistant", "tool_calls": calls}]}).messages[0]
    assert message["tool_calls"] == [{"name": "a", "arguments": '{"b":1}'}, {"name": "c", "arguments": {}}]


def test_what_a_parquet_file_fills_in_is_absent():
    nothing = {"reasoning_content": None, "tool_calls": None, "tools": None}
    assert read({"messages": [USER | nothing, ANSWER | nothing], "tools": None}).messages == (USER, ANSWER)


def test_thinking_is_kept_apart():
    message = read({"messages": [USER, ANSWER | {"reasoning_content": "A greeting."}]}).messages[1]
    assert message == ANSWER | {"reasoning_content": "A greeting."}


def test_equal_conversations_have_equal_json():
    one = read({"messages": [USER, ANSWER], "skill": "greeting", "language": "en"})
    other = read({"conversations": [{"value": "Hi", "from": "human"}, {"from": "gpt", "value": "Hello!"}]})
    assert one.skill == "greeting" and other.skill is None
    assert one.to_json() == other.to_json() == Conversation((dict(reversed(USER.items())), ANSWER)).to_json()
    assert one.to_json() != read({"messages": [USER, ANSWER], "tools": [TOOL]}).to_json()


@pytest.mark.parametrize(
    ("record", "reason", "detail"),
    [
        ({"messages": [USER]}, "no turn is the assistant's", "roles: user"),
        ({"messages": [USER, {"role": "narrator", "content": "a"}]}, "the role is unknown", "turn 2, narrator;"),
        ({"messages": [USER, {"role": ["user"], "content": "a"}]}, "the role is unknown", "turn 2"),
        ({"messages": [USER, {"content": "a"}]}, "the role is unknown", "turn 2, keys: content"),
        ({"messages": [USER, "Hello!"]}, "a turn is not a JSON object", "turn 2, found str"),
        ({"messages": [USER | {"content": " \n"}, ANSWER]}, '"content" is empty', "turn 1"),
        ({"messages": [USER, ANSWER | {"content": "\u3000"}]}, '"content" is empty', "turn 2"),
        ({"messages": [USER, ANSWER | {"content": "", "reasoning_content": " "}]}, '"content" is empty', "turn 2"),
        ({"messages": [USER, {"role": "assistant"}]}, 'the key "content" is missing', "turn 2"),
        (
            {"messages": [USER, ANSWER | {"content": ["a"]}]},
            '"content" has a part that is not text',
            "turn 2, found str",
        ),
        ({"messages": [USER, ANSWER], "images": ["a.png"]}, 'the conversation is about "images"', "only text"),
        ({"prompt": "Hi", "completion": "Yo", "history": ["a"]}, '"history" is not a list of pairs', ""),
        ({"messages": [USER, ANSWER | {"content": "a\0"}]}, '"content" contains a NUL character', "turn 2"),
        ({"messages": [USER | {"content": "\ud83d"}, ANSWER]}, '"content" contains half a surrogate pair', "turn 1"),
        ({"messages": [USER, ANSWER | {"reasoning_content": 3}]}, '"reasoning_content" is not a string', "turn 2"),
        ({"messages": [USER, ANSWER | {"tool_calls": "[{"}]}, '"tool_calls" is not valid JSON', "turn 2"),
        ({"messages": [USER, ANSWER | {"tool_calls": [{}]}]}, "a tool call has no name", "turn 2"),
        ({"messages": [USER, ANSWER | {"tool_calls": [CALL | {"arguments": 3}]}]}, 'the "arguments" of', "turn 2"),
        ({"messages": [ANSWER | {"tool_calls": [CALL | {"arguments": "\0"}]}]}, '"arguments" contains a NUL', "turn 1"),
        ({"messages": [USER | {"tool_calls": [CALL]}, ANSWER]}, '"tool_calls" or "reasoning_content" stand', "turn 1"),
        ({"messages": [USER, ANSWER], "tools": "weather"}, '"tools" is not valid JSON', ""),
        ({"messages": [USER, ANSWER], "tools": ["weather"]}, '"tools" is not a list of JSON objects', ""),
        ({"messages": [USER, ANSWER], "tools": [{"a": "\ud83d"}]}, '"tools" contains half a surrogate pair', ""),
        ({"messages": [USER, ANSWER], "tools": "[NaN]"}, '"tools" is not valid JSON', ""),
        ({"messages": [USER, ANSWER], "tools": "[" * 9999 + "]" * 9999}, '"tools" is nested too deeply', ""),
        ({"messages": [USER, ANSWER], "tools": "[" * 200 + "]" * 200}, '"tools" is nested too deeply', ""),
        ({"messages": [USER | {"tools": [TOOL]}, ANSWER]}, '"tools" are given twice, or', "turn 1"),
        ({"messages": [SYSTEM | {"tools": [TOOL]}, ANSWER], "tools": [TOOL]}, '"tools" are given twice', "turn 1"),
        ({"instruction": "", "output": "b"}, '"content" is empty', "turn 1"),
        ({"instruction": "a", "output": None}, '"output" is not a string', "found NoneType"),
        ({"instruction": "a", "output": "b", "history": ["c", "d"]}, '"history" is not a list of pairs', ""),
        ({"prompt": "a", "completion": 3}, '"completion" is not a string', "found int"),
        ({"prompt": [], "completion": "b"}, "the conversation is empty", ""),
        ({"prompt": "<|user|> a <|bot|> b"}, "the role is unknown", "<|bot|>"),
        ({"prompt": "<|user|> a <|assistant|>"}, '"content" is empty', "turn 2"),
        ({"prompt": "<|user|> a"}, "no turn is the assistant's", "roles: user"),
    ],
)
def test_what_cannot_be_used_says_why(record, reason, detail):
    with pytest.raises(BadRecord) as caught:
        read(record)
    assert caught.value.reason.startswith(reason)
    assert caught.value.detail.startswith(detail)


@pytest.mark.parametrize("turn", [{"from": "narrator", "value": "a"}, {"from": 3, "value": "a"}, {"value": "a"}])
def test_an_unknown_speaker(turn):
    with pytest.raises(BadRecord, match="the role is unknown"):
        read({"conversations": [{"from": "human", "value": "Hi"}, turn]})


FILES = samples("sft_en.jsonl", "sft_zh.jsonl", "sft_tool_en.jsonl", "sft_tool_zh.jsonl")


@pytest.mark.parametrize("path", FILES)
def test_files_of_good_records_have_no_bad_one(path):
    for record in read_records(path):
        raw = [(turn["role"], turn["content"]) for turn in record.fields["conversations"]]
        assert [(turn["role"], turn["content"]) for turn in read(record.fields).messages] == raw


def test_what_stands_beside_the_turns_may_be_nested_as_deep_as_a_line_may():
    deep = json.loads("[" * 900 + "]" * 900)
    for record in ({"messages": [USER, ANSWER], "more": deep}, {"messages": [USER, ANSWER | {"more": deep}]}):
        assert read(record).messages == (USER, ANSWER)
