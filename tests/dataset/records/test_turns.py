"""Turns in all the ways that people write them down, and the marks by which they exclude one from training."""

import json

import pytest

from dataset.records.chat_formats import CHAT
from dataset.records.documents import detect_format
from dataset.records.formats import BadRecord
from dataset.rendering import ChatRenderer

USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}
WRONG = {"role": "assistant", "content": "five"}


def read(record):
    return detect_format(record, CHAT).read(record)


@pytest.mark.parametrize(
    "record",
    [
        {"messages": json.dumps([USER, ANSWER])},
        {"conversations": json.dumps([{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}])},
        {"conversations": {"from": ["human", "gpt"], "value": ["Hi", "Hello!"]}},
        {"messages": {"role": ["user", "assistant"], "content": ["Hi", "Hello!"], "name": None}},
        {"prompt": json.dumps([USER]), "completion": [ANSWER]},
        {"prompt": USER, "completion": ANSWER},
        {"question": "Hi", "answer": "Hello!"},
        {"query": "Hi", "response": "Hello!"},
        {"instruction": "Hi", "context": "", "response": "Hello!"},
        {"messages": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]},
        {"messages": [USER | {"content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]}, ANSWER]},
    ],
)
def test_turns_as_text_as_columns_and_alone(record):
    assert read(record).messages == (USER, ANSWER)


@pytest.mark.parametrize("question, answer", [("prompt", "completion"), ("query", "response"), ("question", "answer")])
def test_what_was_said_before_a_question_is_read(question, answer):
    record = {question: "Hi", answer: "Hello!", "system_prompt": "s", "history": '[["a", "b"]]'}
    before = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
    ]
    assert read(record).messages == (*before, USER, ANSWER)


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_have_several_names(key):
    thought = ANSWER | {"reasoning_content": "so"}
    assert read({"messages": [USER, ANSWER | {"reasoning_content": "", key: "so"}]}).messages == (USER, thought)
    assert read({"messages": [USER, ANSWER | {key: "None"}]}).messages == (USER, ANSWER)  # a switch


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
@pytest.mark.parametrize(
    "record",
    [
        {"question": "Hi", "answer": "Hello!"},
        {"prompt": "Hi", "completion": "Hello!"},
        {"prompt": "Hi", "response": "Hello!"},
        {"query": "Hi", "response": "Hello!"},
        {"instruction": "Hi", "output": "Hello!"},
        {"instruction": "Hi", "response": "Hello!"},
    ],
)
def test_a_thought_may_stand_beside_a_question_and_its_answer(record, key):
    assert read(record | {key: "so"}).messages == (USER, ANSWER | {"reasoning_content": "so"})
    for other in (" ", None, True, ["so"], "on", "Off", "detailed"):  # blank, or another column of that name
        assert read(record | {key: other}).messages == (USER, ANSWER)


@pytest.mark.parametrize("within", ["<think>\nso\n</think>\n\nHello!", "so\n</think>\n\nHello!"])
def test_a_thought_within_an_answer_is_not_said_twice(within):
    assert read({"question": "Hi", "answer": within, "reasoning": "so"}).messages[1]["content"] == within


def test_an_answer_of_json_is_an_answer():
    answer = json.dumps([{"name": "Ann"}])
    assert read({"prompt": "Hi", "completion": answer}).messages[1]["content"] == answer


@pytest.mark.parametrize("mark", [{"weight": 0}, {"weight": 0.0}, {"loss": False}, {"train": False}, {"loss_mask": 0}])
def test_a_marked_turn_is_read_but_not_trained(small_tokenizer, mark):
    renderer = ChatRenderer(small_tokenizer)
    marked = read({"messages": [USER, WRONG | mark, USER, ANSWER | dict.fromkeys(mark, 1)]})
    plain = read({"messages": [USER, WRONG, USER, ANSWER]})
    assert (marked.messages, marked.untrained, plain.untrained) == (plain.messages, {1}, frozenset())
    assert marked.to_json() != plain.to_json()
    one, other = renderer.render([marked, plain])
    assert one.ids.tolist() == other.ids.tolist()

    def trained(rendered):
        return small_tokenizer.decode(rendered.ids[rendered.trained].tolist())

    assert "five" in trained(other) and "five" not in trained(one) and "Hello!" in trained(one)


@pytest.mark.parametrize(
    "record",
    [{"label": False}, {"label": 0}, {"kto_tag": False}, {"weight": 0}, {"train": False}, {"train": True, "label": 0}],
)
def test_nothing_is_learned_from_an_excluded_record(small_tokenizer, record):
    found = read({"prompt": "Hi", "completion": "Go away.", **record})
    assert not ChatRenderer(small_tokenizer).render([found])[0].trained.any()


@pytest.mark.parametrize(
    "column",
    [
        *({"label": value} for value in (True, 2, "sports", "good", None)),
        *(
            {"loss": 2.3},
            {"loss": 0.37},
            {"weight": "a lot"},
            {"weight": 72},
            {"weight": 1.5},
            {"weight": [72, 80.5, 3]},
        ),
        *({"train": "train"}, {"train": "test"}, {"train": ["ICE 5", "RE 7"]}, {"skip_words": ["a", "b"]}),
    ],
)
def test_other_columns_change_nothing(column):
    assert read({"prompt": "Hi", "completion": "Hello!", **column}).untrained == frozenset()


def test_a_text_on_a_turn_is_no_mark():
    found = read({"messages": [USER, ANSWER | {"mask_reason": "none", "skipped": ["a"]}]})
    assert found.untrained == frozenset()


@pytest.mark.parametrize(
    "turn, reason",
    [
        (ANSWER | {"weight": 0.5}, '"weight" of a turn is neither 0 nor 1'),
        (ANSWER | {"weight": 2}, '"weight" of a turn is neither 0 nor 1'),
        (ANSWER | {"loss_mask": [0, 1]}, '"loss_mask" of a turn is neither 0 nor 1'),
        (ANSWER | {"train_detail": []}, '"train_detail" of a turn is not supported'),
        (ANSWER | {"masked": True}, '"masked" of a turn is not supported'),
        (ANSWER | {"do_train": False}, '"do_train" of a turn is not supported'),
        (ANSWER | {"ignore": True}, '"ignore" of a turn is not supported'),
        (USER | {"loss": True}, '"loss" wants a turn learned'),
    ],
)
def test_marks_that_cannot_be_followed_are_named(turn, reason):
    with pytest.raises(BadRecord, match=reason):
        read({"messages": [USER, ANSWER, turn]})


CALLED = {"role": "assistant", "content": "", "tool_calls": [{"name": "w", "arguments": {"c": 1}}]}
WRITTEN = '<tool_call>\n{"name": "w", "arguments": {"c": 1}}\n</tool_call>'


@pytest.mark.parametrize(
    "turn, reason",
    [
        (CALLED | {"tool_calls": [{"name": "w", "args": {"c": 1}}]}, 'a tool call has no "arguments"'),
        (
            CALLED | {"tool_calls": [{"function": {"name": "w", "parameters": {"c": 1}}}]},
            'a tool call has no "arguments"',
        ),
        (CALLED | {"tool_calls": [{"name": "w", "arguments": "{c: 1"}]}, "are not a JSON object"),
        (CALLED | {"tool_calls": [{"name": "w", "arguments": "[1]"}]}, "are not a JSON object"),
        (CALLED | {"content": WRITTEN}, '"content" has a <tool_call> beside "tool_calls"'),
        (
            ANSWER | {"content": "<think>so</think>a", "reasoning": "so"},
            '"content" has a <think> beside "reasoning_con',
        ),
    ],
)
def test_what_would_be_learned_wrongly_or_twice_is_refused(turn, reason):
    with pytest.raises(BadRecord, match=reason):
        read({"messages": [USER, turn]})


def test_a_call_may_have_no_arguments():
    beside = {"type": "function", "tool_call_id": "1", "description": "now", "parameters": {}}
    for more in ({}, beside, {"arguments": " "}, {"arguments": "null"}):
        call = {"name": "w", **more}
        (_, message) = read({"messages": [USER, CALLED | {"tool_calls": [call]}]}).messages
        assert message["tool_calls"] == [{"name": "w", "arguments": {}}]


@pytest.mark.parametrize(
    "content", ["22", "<tool_response>\n22\n</tool_response>", "<tool_response>22</tool_response>\n"]
)
def test_a_result_in_its_tags_is_read_without_them(content):
    found = read({"messages": [USER, CALLED, {"role": "tool", "content": content}, ANSWER]})
    assert found.messages[2] == {"role": "tool", "content": "22"}


def test_results_of_one_turn_are_a_message_each():
    """As Hermes's data have those of several calls; the template puts them back into one turn."""
    two = "<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response>\n"
    found = read({"messages": [USER, CALLED, {"role": "tool", "content": two}, ANSWER | {"weight": 0}, USER, ANSWER]})
    assert found.messages[2:4] == ({"role": "tool", "content": "1"}, {"role": "tool", "content": "2"})
    assert (found.messages[4]["role"], found.untrained) == ("assistant", {4})
    for other in (f"{two} and so on", "<tool_response>1", "I saw <tool_response>1</tool_response>"):
        (_, _, message, _) = read({"messages": [USER, CALLED, {"role": "tool", "content": other}, ANSWER]}).messages
        assert message == {"role": "tool", "content": other}


def test_a_call_may_be_spoken_of_beside_calls():
    (_, message) = read({"messages": [USER, CALLED | {"content": "I write a <tool_call> now."}]}).messages
    assert message["content"] == "I write a <tool_call> now."


def test_a_mask_beside_the_turns_is_refused():
    with pytest.raises(BadRecord, match='"loss_mask" stands beside'):
        read({"messages": [USER, ANSWER], "loss_mask": [0, 1]})


def test_calls_and_roles_as_openai_once_named_them():
    call = {"Name": "weather", "arguments": '{"city": "Bonn"}'}
    function = {"name": "weather", "parameters": {"type": "object"}}
    found = read(
        {
            "messages": [
                {"role": "developer", "content": "Be brief."},
                USER,
                {"role": "assistant", "content": "Let me look.", "function_call": call},
                {"role": "function", "name": "weather", "content": "20"},
                ANSWER,
            ],
            "functions": [function],
        }
    )
    assert [message["role"] for message in found.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert found.messages[2]["tool_calls"] == [{"name": "weather", "arguments": '{"city": "Bonn"}'}]
    assert found.tools == ({"type": "function", "function": function},)


def test_calls_in_turns_of_their_own_as_ms_swift_has_them():
    call = {"role": "tool_call", "content": '{"name": "weather", "arguments": {"city": "Bonn"}}'}
    found = read({"messages": [USER, call, {"role": "tool_response", "content": "20"}, ANSWER]})
    assert [message["role"] for message in found.messages] == ["user", "assistant", "tool", "assistant"]
    assert found.messages[1]["tool_calls"] == [{"name": "weather", "arguments": {"city": "Bonn"}}]


@pytest.mark.parametrize(
    "mark",
    [
        {"label": "false"},
        {"label": "Rejected"},
        {"train": "0"},
        {"weight": 0.5},
        {"weights": [0, 1]},
        {"weights": [2.0, 1.0]},
        {"weights": [2.0]},
        {"loss_mask": [1]},
        {"train": [False, True, True]},
        {"train": ["false", "true"]},
    ],
)
def test_a_mark_beside_the_turns_that_cannot_be_followed_is_named(mark):
    with pytest.raises(BadRecord) as caught:
        read({"messages": [USER, ANSWER], **mark})
    assert next(iter(mark)) in caught.value.reason
