"""What a record says and no reader reads is named; what changes the document, or only describes it, is not."""

import json

import pytest

from dataset.records.chat_formats import CHAT
from dataset.records.preferences import PREFERENCE
from dataset.records.unread import unread_keys

ASKED = {"role": "user", "content": "a"}
CHATTED = {"messages": [ASKED, {"role": "assistant", "content": "b"}]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize(
    "kind, record, expected",
    [
        (CHAT, {"question": "a", "answer": "b", "context": "c", "id": 3, "source_url": "d"}, ["context"]),
        (CHAT, {"prompt": "a", "completion": "b", "input": "c", "system": "d"}, ["input"]),
        (CHAT, {"instruction": "a", "output": "b", "input": "c", "history": [["d", "e"]], "note": ""}, []),
        (CHAT, {**CHATTED, "weight": 1, "tools": [TOOL], "language": "en"}, []),
        (CHAT, {**CHATTED, "weight": 72, "train": "test", "label": "sports"}, ["weight", "train", "label"]),
        (CHAT, {**CHATTED, "weight": 0, "train": True, "label": 1}, []),
        (
            CHAT,
            {"messages": [ASKED, {"role": "assistant", "content": "b", "function_calls": [1]}]},
            ["messages.function_calls"],
        ),
        (CHAT, {"messages": [ASKED, {"role": "assistant", "content": "b", "weight": 1, "id": 3, "name": "Bo"}]}, []),
        (CHAT, {**CHATTED, "notes": [{"by": "Bo"}]}, ["notes"]),
        (PREFERENCE, {"prompt": "a", "chosen": "b", "rejected": "c", "margin": 2, "knowledge": "d"}, ["knowledge"]),
        (PREFERENCE, {"prompt": "a", "chosen": "b", "rejected": "c", "flaw": "rude"}, []),  # as the sample data has it
        (
            PREFERENCE,
            {"prompt": "a", "chosen": "b", "rejected": "c", "label": "sports", "train": "x"},
            ["label", "train"],
        ),
    ],
)
def test_keys_that_change_nothing_are_found(tmp_path, kind, record, expected):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(record) + "\n", encoding="utf-8")
    assert unread_keys(str(path), kind) == expected


def test_a_key_that_matters_in_one_record_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    empty = {"instruction": "a", "output": "b", "input": "", "extra": "x"}
    path.write_text("".join(json.dumps(one) + "\n" for one in (empty, empty | {"input": "c"})), encoding="utf-8")
    assert unread_keys(str(path), CHAT) == ["extra"]
