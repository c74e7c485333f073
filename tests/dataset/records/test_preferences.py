"""Preference records of every format become pairs that part where the prompt ends."""

import json

import numpy as np
import pytest

from dataset.records.conversations import Conversation
from dataset.records.documents import detect_format
from dataset.records.formats import BadRecord
from dataset.records.preferences import PREFERENCE, Pair
from dataset.records.reading import read_records
from dataset.rendering import ChatRenderer
from tests.fixtures import FIXTURES, samples
from tests.support import make_tokenizer

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "Hi"}
GOOD, BAD = ({"role": "assistant", "content": text} for text in ("Hello!", "What?"))


def capital(turn):
    return {key.capitalize(): value for key, value in turn.items()}


def read(record):
    return detect_format(record, PREFERENCE).read(record)


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [USER, GOOD], "rejected_response": ["What?", "No."]},
        {"messages": [USER, GOOD], "rejected_response": [[BAD], [BAD | {"content": "No."}]]},
        {"messages": [USER, GOOD], "rejected_messages": [[USER, BAD], [USER, BAD | {"content": "No."}]]},
        {"query": "Hi", "response": "Hello!", "rejected_response": ["What?", "No."]},
        {"prompt": "Hi", "chosen": "Hello!", "rejected": ["What?", "No."]},
        {"conversations": [USER], "chosen": "Hello!", "rejected": ["What?", "No."]},
        {"instruction": "Hi", "chosen": "Hello!", "rejected": ["What?", "No."]},
    ],
)
def test_several_rejected_answers_make_a_pair_each(record):
    pairs = read({**record, "margin": 2}).pairs
    assert [pair.margin for pair in pairs] == [2, 2]
    assert [pair.chosen.messages for pair in pairs] == [(USER, GOOD)] * 2
    assert [pair.rejected.messages for pair in pairs] == [(USER, BAD), (USER, BAD | {"content": "No."})]


@pytest.mark.parametrize(
    "name, record",
    [
        ("chosen/rejected", {"chosen": [USER, GOOD], "rejected": [USER, BAD]}),
        ("prompt/chosen/rejected", {"prompt": "Hi", "chosen": "Hello!", "rejected": "What?"}),
        ("prompt/chosen/rejected", {"prompt": "Hi", "chosen": [GOOD], "rejected": [BAD]}),
        ("prompt/chosen/rejected", {"prompt": "Hi", "chosen": [USER, GOOD], "rejected": [USER, BAD]}),
        ("prompt/chosen/rejected", {"prompt": [USER], "chosen": [GOOD], "rejected": "What?"}),
        ("prompt/chosen/rejected", {"prompt": [USER], "chosen": GOOD, "rejected": BAD}),
        ("prompt/chosen/rejected", {"Prompt": "Hi", "Chosen": [capital(GOOD)], "Rejected": [capital(BAD)]}),
        ("prompt/chosen/rejected", {"prompt": json.dumps([USER]), "chosen": json.dumps([GOOD]), "rejected": [BAD]}),
        ("prompt/chosen/rejected", {"prompt": [USER], "chosen": [USER, GOOD], "rejected": [USER, BAD]}),
        (
            "conversations/chosen/rejected",
            {
                "conversations": [{"from": "human", "value": "Hi"}],
                "chosen": {"from": "gpt", "value": "Hello!"},
                "rejected": {"from": "gpt", "value": "What?"},
            },
        ),
        ("messages/chosen/rejected", {"messages": [USER], "chosen": "Hello!", "rejected": BAD}),
        (
            "instruction/chosen/rejected",
            {"instruction": "Hi", "input": "", "chosen": "Hello!", "rejected": "What?"},
        ),
        ("question/chosen/rejected", {"question": "Hi", "chosen": "Hello!", "rejected": "What?"}),
        ("messages/rejected_response", {"messages": [USER, GOOD], "rejected_response": "What?"}),
        ("messages/chosen/rejected", {"messages": [USER, GOOD], "chosen": "Hello!", "rejected": BAD}),
        ("query/chosen/rejected", {"query": "Hi", "chosen": "Hello!", "rejected": "What?"}),
        ("input/chosen/rejected", {"input": "Hi", "chosen": "Hello!", "rejected": "What?"}),
        (
            "query/response/rejected_response",
            {"query": "Hi", "response": "Hello!", "rejected_response": "What?"},
        ),
        (
            "input/preferred_output",
            {"input": {"messages": [USER]}, "preferred_output": [GOOD], "non_preferred_output": [BAD]},
        ),
        ("messages/rejected_messages", {"messages": [USER, GOOD], "rejected_messages": [USER, BAD]}),
        (
            "ranked choices",
            {"input": "Hi", "choices": [{"text": "What?", "rank": 2}, {"text": "Hello!", "rank": 1}]},
        ),
    ],
)
def test_each_format_gives_the_same_pair(name, record):
    record = {key.lower(): value for key, value in record.items()}  # as files are read
    assert detect_format(record, PREFERENCE).name == name
    pair = Pair(Conversation((USER, GOOD), trained_from=1), Conversation((USER, BAD), trained_from=1))
    assert read(record).pairs == (pair,)
    assert read({**record, "label": 0}).pairs == (pair,), "the label of a class, and no mark"


def calling(name: str) -> dict:
    return {"role": "assistant", "content": "", "tool_calls": [{"name": name, "arguments": {}}]}


def test_nulls_of_arrow_are_left_out_where_turns_are_put_together():
    call = {"name": "w", "arguments": {"city": "Bonn", "a": None}}
    called = {"role": "assistant", "content": "", "tool_calls": [call]}
    for record in (
        {"prompt": "Hi", "chosen": [called], "rejected": [BAD | {"tool_calls": None}]},
        {"messages": [USER | {"tool_calls": None}, called], "rejected_response": "What?"},
    ):
        (message,) = read(record).pairs[0].chosen.messages[1:]
        assert message["tool_calls"] == [{"name": "w", "arguments": {"city": "Bonn"}}]


def test_history_comes_before_the_question():
    (pair,) = read({"prompt": "Hi", "history": [["a", "b"]], "chosen": "Hello!", "rejected": "What?"}).pairs
    assert [m["content"] for m in pair.chosen.messages] == ["a", "b", "Hi", "Hello!"] and pair.chosen.trained_from == 3


def test_turns_that_end_with_another_answer_are_refused():
    with pytest.raises(BadRecord, match="not the chosen one"):
        read({"messages": [USER, GOOD], "chosen": "Other.", "rejected": "What?"})


HISTORY = [{"role": "user", "content": "I am Ann."}, {"role": "assistant", "content": "Hello Ann!"}]


def test_answers_that_go_on_with_another_turn_keep_the_prompt():
    """As trl joins a prompt of messages and its answers."""
    (pair,) = read({"prompt": HISTORY, "chosen": [USER, GOOD], "rejected": [USER, BAD]}).pairs
    assert pair.chosen.messages == (*HISTORY, USER, GOOD) and pair.rejected.messages == (*HISTORY, USER, BAD)
    assert pair.chosen.trained_from == 3


def test_answers_that_repeat_the_prompt_do_not_have_it_twice():
    expected = (SYSTEM, *HISTORY, USER, GOOD)
    prompt = [SYSTEM, *HISTORY, USER]
    for chosen, rejected in (([*prompt, GOOD], [*prompt, BAD]), ([*HISTORY, USER, GOOD], [*HISTORY, USER, BAD])):
        (pair,) = read({"prompt": prompt, "chosen": chosen, "rejected": rejected}).pairs
        assert pair.chosen.messages == expected and pair.chosen.trained_from == 4


def test_a_system_message_a_margin_and_turns_before_are_kept():
    before = [USER, GOOD, USER]
    record = {"system": "Be brief.", "prompt": before, "chosen": "Hello!", "rejected": "What?", "margin": 2}
    (pair,) = read(record).pairs
    assert pair.chosen.messages == (SYSTEM, *before, GOOD) and pair.rejected.messages == (SYSTEM, *before, BAD)
    assert pair.chosen.trained_from == pair.rejected.trained_from == 4 and pair.margin == 2.0


def test_tools_of_the_prompt_and_calls_in_a_row_are_kept():
    tool, calls = {"type": "function", "function": {"name": "w"}}, [calling("w"), calling("v")]
    asked = {"messages": [USER], "tools": [tool]}
    (pair,) = read({"input": asked, "preferred_output": calls, "non_preferred_output": [BAD]}).pairs
    assert pair.chosen.tools == pair.rejected.tools == (tool,)
    assert [message["tool_calls"][0]["name"] for message in pair.chosen.messages[1:]] == ["w", "v"]


def test_space_around_a_prompt_that_is_repeated_does_not_matter():
    spaced = USER | {"content": "Hi\n"}
    for prompt in ("Hi ", [USER]):
        (pair,) = read({"prompt": prompt, "chosen": [spaced, GOOD], "rejected": [spaced, BAD]}).pairs
        assert pair.chosen.messages == (spaced, GOOD) and pair.rejected.messages == (spaced, BAD)


def test_ranked_choices_are_all_pairs_of_different_ranks():
    choices = [{"text": text, "rank": rank} for text, rank in (("a", 1), ("b", 2), ("c", 2), ("d", 3))]
    pairs = read({"input": "Hi", "choices": choices}).pairs
    found = {tuple(each.messages[-1]["content"] for each in (pair.chosen, pair.rejected)) for pair in pairs}
    assert found == {("a", "b"), ("a", "c"), ("a", "d"), ("b", "d"), ("c", "d")} and len(pairs) == 5


@pytest.mark.parametrize(
    "record, reason",
    [
        ({"prompt": "Hi", "chosen": "same", "rejected": "same"}, "are the same"),
        ({"chosen": [GOOD], "rejected": [BAD]}, "no prompt in common"),
        ({"chosen": "Hello!", "rejected": "What?"}, '"prompt" is missing'),
        ({"prompt": "Other", "chosen": [USER, GOOD], "rejected": [USER, BAD]}, 'does not repeat "prompt"'),
        ({"chosen": [USER, GOOD], "rejected": [USER]}, "no turn is the assistant's"),
        ({"chosen": [USER, GOOD, USER], "rejected": [USER, GOOD]}, "no turn is the assistant's"),
        ({"prompt": "Hi", "chosen": GOOD, "rejected": [BAD, BAD]}, "several turns of the assistant in a row"),
        ({"messages": [USER, GOOD], "rejected_response": [BAD, BAD]}, "several turns of the assistant in a row"),
        ({"chosen": [USER, GOOD, USER, GOOD], "rejected": [USER, GOOD]}, "no turn is the assistant's"),
        ({"messages": [USER, GOOD, USER], "rejected_response": "What?"}, "do not end with the better answer"),
        ({"messages": [USER, calling("w")], "chosen": [calling("v")], "rejected": "What?"}, "not the chosen one"),
        ({"prompt": "Hi", "chosen": "Hello!", "rejected": []}, '"rejected" is empty'),
        ({"prompt": [USER], "chosen": "Hello!", "rejected": []}, '"rejected" is empty'),
        ({"messages": [USER], "chosen": [], "rejected": "What?"}, '"chosen" is empty'),
        ({"prompt": [USER], "chosen": "Hello!", "rejected": [[BAD], []]}, '"rejected" is empty'),
        ({"messages": [USER, GOOD], "rejected_messages": None}, '"rejected_response" is missing'),
        ({"prompt": {"role": [], "content": []}, "chosen": "Hello!", "rejected": "What?"}, "no prompt in common"),
        ({"prompt": "Hi", "chosen": "Hello!", "rejected": " "}, '"rejected" is empty'),
        ({"prompt": "Hi", "chosen": "Hello!", "rejected": 3}, '"rejected" is not a string'),
        ({"prompt": "Hi", "chosen": "a", "rejected": "b", "margin": "much"}, '"margin" is not a number'),
        ({"prompt": "Hi", "chosen": "a", "rejected": "b", "margin": float("nan")}, "not a finite number"),
        ({"input": "Hi", "choices": [{"text": "a", "rank": 1}, {"text": "b", "rank": 1}]}, "different ranks"),
        ({"input": "Hi", "choices": [{"text": "a"}]}, '"rank" of a choice'),
        ({"input": "Hi", "choices": "a"}, '"choices" is not a list'),
        ({"text": "a document"}, "the record is of another kind"),
    ],
)
def test_what_is_no_preference_has_a_reason(record, reason):
    with pytest.raises(BadRecord, match=reason):
        read(record)


def test_only_what_follows_the_prompt_is_trained():
    """An answer of an earlier turn is read, not trained; the ids are those of the whole conversation."""
    renderer = ChatRenderer(make_tokenizer())
    messages = (USER, BAD, USER, GOOD)
    whole, part = renderer.render([Conversation(messages), Conversation(messages, trained_from=2)])
    assert np.array_equal(whole.ids, part.ids)
    trained = renderer.tokenizer.decode(part.ids[part.trained].tolist(), skip_special_tokens=False)
    assert trained == "Hello!<|im_end|>"
    everything = renderer.tokenizer.decode(whole.ids[whole.trained].tolist(), skip_special_tokens=False)
    assert everything == "What?<|im_end|>Hello!<|im_end|>"


@pytest.mark.parametrize("path", samples("dpo.jsonl"))
def test_pairs_of_a_file_part_at_their_last_turn(path):
    count = 0
    for record in read_records(path):
        (pair,) = read(record.fields).pairs
        chosen, rejected = pair.chosen, pair.rejected
        shared = chosen.trained_from
        assert json.dumps(chosen.messages[:shared]) == json.dumps(rejected.messages[:shared])
        assert chosen.messages[shared] != rejected.messages[shared]
        count += 1
    assert count == 18 if path.is_relative_to(FIXTURES) else count > 500


def said(*turns: str) -> str:
    """Turns of a human and the assistant as hh-rlhf has them."""
    return "".join(f"\n\n{('Human', 'Assistant')[i % 2]}: {text}" for i, text in enumerate(turns))


@pytest.mark.parametrize(
    "chosen, rejected, shared",
    [
        (("a", "b"), ("a", "c"), 1),
        (("a", "b", "c\n\nd", "e"), ("a", "b", "c\n\nd", "f"), 3),
        (("a", "b", "c", "e"), ("a", "x", "y", "f"), 1),  # they part in the middle: all answers from there on differ
        (("a", "b", "c", "d"), ("a", "b", "other", "e"), 2),
        (("a", "b"), ("a", "c", "d", "e"), 1),
    ],
)
def test_dialogues_in_one_text_are_read_turn_by_turn(chosen, rejected, shared):
    record = {"chosen": said(*chosen), "rejected": f"{said(*rejected)} \n"}
    assert detect_format(record, PREFERENCE).name == "dialogues"
    (pair,) = read(record).pairs
    for found, wanted in ((pair.chosen, chosen), (pair.rejected, rejected)):
        assert [message["content"] for message in found.messages] == list(wanted)
        assert [message["role"] for message in found.messages] == ["user", "assistant"] * (len(wanted) // 2)
        assert found.trained_from == shared


def test_a_prompt_may_be_such_a_dialogue():
    whole = read({"chosen": said("a", "b", "c", "d"), "rejected": said("a", "b", "c", "e")})
    prompt = f"{said('a', 'b', 'c')}\n\nAssistant:"
    assert read({"prompt": prompt, "chosen": " d", "rejected": " e\n"}) == whole
    assert read({"prompt": prompt, "chosen": f"{prompt} d", "rejected": f"{prompt} e"}) == whole
    assert read({"question": prompt, "chosen": "d", "rejected": ["e"]}) == whole


def test_lines_of_a_dialogue_may_end_as_on_windows():
    record = {"chosen": said("a", "b\n\nb", "c", "d"), "rejected": said("a", "b\n\nb", "c", "e")}
    (pair,), (of_windows,) = (read(one).pairs for one in (record, _with_crlf(record)))
    assert len(pair.chosen.messages) == 4
    assert [one["content"].split() for one in of_windows.chosen.messages] == [["a"], ["b", "b"], ["c"], ["d"]]
    prompt = {"prompt": f"{said('a')}\n\nAssistant:", "chosen": "b", "rejected": "c"}
    assert read(_with_crlf(prompt)) == read(prompt)


def _with_crlf(record: dict) -> dict:
    return {key: text.replace("\n", "\r\n") for key, text in record.items()}


def test_a_scene_of_a_play_is_an_answer():
    scene = "Human: Hi.\n\nAssistant: Hello."
    (pair,) = read({"prompt": "Write a scene", "chosen": scene, "rejected": "No."}).pairs
    assert [message["content"] for message in pair.chosen.messages] == ["Write a scene", scene]


def test_a_dialogue_without_an_answer_is_named():
    with pytest.raises(BadRecord, match='"content" is empty') as error:
        read({"chosen": said("a", ""), "rejected": said("a", "b")})
    assert error.value.detail == "turn 2"
