"""Formats are detected from the keys; a record that cannot be used says why."""

import pytest

from dataset.records.documents import detect_format
from dataset.records.formats import MAX_LINE_BYTES, TEXT, BadRecord, read_text


def test_text_is_detected_among_other_columns():
    assert detect_format({"id": 1, "text": "a", "url": None}, TEXT).name == "text"


def test_an_unknown_shape_names_the_keys_and_what_is_accepted():
    with pytest.raises(BadRecord) as caught:
        detect_format({"instruction": "a", "output": "b"}, TEXT)
    assert caught.value.detail == (
        'this is a conversation, for train_full_sft.py; keys: instruction, output; accepted: {"text": "..."}'
    )
    with pytest.raises(BadRecord) as caught:
        detect_format({"headline": "a"}, TEXT)
    assert caught.value.detail == 'keys: headline; accepted: {"text": "..."}, "text" missing'
    with pytest.raises(BadRecord) as caught:
        detect_format({}, TEXT)
    assert "keys: none" in caught.value.detail


@pytest.mark.parametrize("text", ["a", "  kept as it is \n", "中文", "\U0001f331", "<|im_end|>"])
def test_text_is_returned_unchanged(text):
    assert read_text({"text": text, "other": 1}) == text


@pytest.mark.parametrize(
    "fields, reason",
    [
        ({"content": "a"}, 'the key "text" is missing'),
        ({"text": None}, '"text" is not a string'),
        ({"text": ["a"]}, '"text" is not a string'),
        ({"text": 3}, '"text" is not a string'),
        ({"text": ""}, '"text" is empty'),
        ({"text": " \n\t\u3000"}, '"text" is empty'),
        ({"text": "a\0b"}, '"text" contains a NUL character'),
        ({"text": "a\ud83d"}, '"text" contains half a surrogate pair'),
        ({"text": "a" * (MAX_LINE_BYTES + 1)}, '"text" is longer than 10 MiB'),
    ],
)
def test_text_that_cannot_be_used(fields, reason):
    with pytest.raises(BadRecord) as caught:
        read_text(fields)
    assert caught.value.reason == reason
