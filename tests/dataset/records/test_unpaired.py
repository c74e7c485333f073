"""Labelled answers in every shape: what is said, what of it is judged, and how."""

import pytest

from dataset.records.chat_formats import CHAT
from dataset.records.formats import BadRecord
from dataset.records.kinds import unknown_shape
from dataset.records.preferences import PREFERENCE
from dataset.records.unpaired import UNPAIRED_OR_PAIRS

ASKED, SAID = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}
BEFORE = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
FROM, GPT = {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}


def read(fields: dict):
    return UNPAIRED_OR_PAIRS.find_format(fields).read(fields)


@pytest.mark.parametrize(
    "fields, judged",
    [
        ({"prompt": "Hi", "completion": "Hello!"}, 1),
        ({"prompt": [ASKED], "completion": [SAID]}, 1),
        ({"prompt": [*BEFORE, ASKED], "completion": [SAID]}, 3),
        ({"prompt": [ASKED], "completion": [SAID, ASKED, SAID]}, 1),
        ({"prompt": "Hi", "response": "Hello!"}, 1),
        ({"prompt": "\n\nHuman: a\n\nAssistant: b\n\nHuman: Hi\n\nAssistant:", "completion": " Hello!\n"}, 3),
        ({"messages": [*BEFORE, ASKED, SAID]}, 3),
        ({"conversations": [ASKED, SAID], "system": "s"}, 2),
        ({"conversations": [FROM, GPT]}, 1),
        ({"messages": [FROM, GPT]}, 1),
        ({"instruction": "Hi", "input": "", "output": "Hello!", "history": [["a", "b"]]}, 3),
        ({"query": "Hi", "response": "Hello!"}, 1),
        ({"question": "Hi", "answer": "Hello!"}, 1),
    ],
)
@pytest.mark.parametrize("label", [True, False, 1, 0])
def test_the_answer_is_judged_and_what_stands_before_it_is_not(fields, judged, label):
    found = read({**fields, "label": label})
    (conversation,) = found.conversations
    assert found.labels == [float(label)] and conversation.trained_from == judged
    assert [conversation.trains(i) for i in range(judged)] == [False] * judged
    assert conversation.trains(len(conversation.messages) - 1)  # of a bad answer, too


def test_where_a_completion_and_a_chat_are_there_the_completion_is_judged():
    found = read({"messages": [*BEFORE, ASKED, SAID], "prompt": "Hi", "completion": "Hello!", "label": True})
    assert found.conversations[0].messages == (ASKED, SAID)


def test_a_column_of_reasons_is_about_the_label():
    found = read({"prompt": "Hi", "completion": "Hello!", "label": True, "reasoning": "It is polite."})
    assert found.conversations[0].messages == (ASKED, SAID)


def test_a_label_has_another_name():
    assert read({"instruction": "Hi", "output": "Hello!", "kto_tag": False}).labels == [0]


def test_a_pair_is_a_good_answer_and_a_bad_one():
    found = read({"prompt": "Hi", "chosen": "Hello!", "rejected": "What?"})
    assert [one.messages[-1]["content"] for one in found.conversations] == ["Hello!", "What?"]
    assert found.labels == [1, 0] and [one.trained_from for one in found.conversations] == [1, 1]
    several = read({"prompt": "Hi", "chosen": "Hello!", "rejected": ["What?", "No."]})
    assert [one.messages[-1]["content"] for one in several.conversations] == ["Hello!", "What?", "No."]
    assert several.labels == [1, 0, 0]  # the good answer was written once
    ranked = [{"text": "a", "rank": 1}, {"text": "b", "rank": 2}, {"text": "c", "rank": 3}]
    assert len(read({"input": "Hi", "choices": ranked}).conversations) == 6  # of three pairs


@pytest.mark.parametrize("label", [None, "true", 0.5, 2, [True]])
def test_a_label_that_is_none_is_refused(label):
    with pytest.raises(BadRecord, match="neither true nor false"):
        read({"prompt": "Hi", "completion": "Hello!", "label": label})


def test_a_label_on_a_question_is_refused():
    with pytest.raises(BadRecord, match="not the assistant's"):
        read({"messages": [ASKED, SAID, ASKED], "label": True})


def test_what_is_for_kto_is_called_so_by_the_other_losses():
    fields = {"prompt": "Hi", "completion": "Hello!", "label": True}
    assert "for train_dpo.py --loss_type kto" in unknown_shape(fields, (PREFERENCE,)).detail
    assert CHAT.find_format(fields) is not None  # fine-tuning takes it as well, without the bad answers
