"""Scored records become a conversation and a number, or say why they cannot."""

import pytest

from dataset.records.conversations import Conversation
from dataset.records.documents import detect_format
from dataset.records.formats import BadRecord
from dataset.records.preferences import PREFERENCE
from dataset.records.scored import SCORED

USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}


def read(record):
    return detect_format(record, SCORED).read(record)


@pytest.mark.parametrize(
    "record",
    [
        {"input": "Hi", "output": "Hello!", "score": 4.5},
        {"input": [USER], "output": [ANSWER], "score": 4.5},
        {"input": "\n\nHuman: Hi\n\nAssistant:", "output": " Hello!", "score": 4.5},
        {"input": [USER], "output": "Hello!", "score": 4.5, "id": 7},
        {"input": "Hi", "output": "Hello!", "score": 4.5, "label": 0},
    ],
)
def test_a_scored_record_is_a_conversation_and_a_number(record):
    answer = read(record)
    assert answer.conversation == Conversation((USER, ANSWER)) and answer.score == 4.5
    assert read({**record, "system": "Be brief."}).conversation.messages[0]["role"] == "system"


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"score": None}, '"score" is not a number'),
        ({"score": "4"}, '"score" is not a number'),
        ({"score": True}, '"score" is not a number'),
        ({"score": float("nan")}, '"score" is not a finite number'),
        ({"score": 10**400}, '"score" is not a finite number'),
        ({"score": -1e7}, '"score" is beyond 1,000,000'),
        ({"input": " "}, '"input" is empty'),
        ({"output": ""}, '"output" is empty'),
        ({"output": 3}, '"output" is not a string'),
        ({"output": [ANSWER, USER]}, "the last turn is not the assistant's"),
        ({"input": [], "output": [ANSWER]}, "the conversation is empty"),
    ],
)
def test_what_is_no_scored_record_has_a_reason(change, reason):
    with pytest.raises(BadRecord, match=reason):
        read({"input": "Hi", "output": "Hello!", "score": 4.5} | change)


def test_other_kinds_are_told_apart_from_scored_records():
    scored = {"input": "Hi", "output": "Hello!", "score": 1}
    with pytest.raises(BadRecord) as error:
        detect_format(scored, PREFERENCE)
    assert "this is an answer with a score, for train_reward.py" in error.value.detail
    with pytest.raises(BadRecord):
        detect_format({"instruction": "Hi", "output": "Hello!"}, SCORED)
