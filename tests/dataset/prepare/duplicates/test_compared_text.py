import pytest

from dataset.prepare.duplicates.compared_text import compared_text
from dataset.records.conversations import from_turns
from dataset.records.preferences import from_pair

TURNS = [
    {"role": "system", "content": "You are helpful."},
    {"role": "user", "content": "What is 1 + 1?"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "再说一遍"},
    {"role": "assistant", "content": "两个"},
]


@pytest.mark.parametrize(
    "by, text",
    [
        ("prompt", "What is 1 + 1?\n\n再说一遍"),
        ("answer", "2\n\n两个"),
        ("both", "What is 1 + 1?\n\n2\n\n再说一遍\n\n两个"),
    ],
)
def test_of_a_chat(by, text):
    assert compared_text(from_turns(TURNS, {}), by) == text


@pytest.mark.parametrize(
    "by, text",
    [("prompt", "Name a fruit."), ("answer", "Apple\n\nCarrot"), ("both", "Name a fruit.\n\nApple\n\nCarrot")],
)
def test_of_a_pair_the_shared_prompt_counts_once(by, text):
    pair = from_pair({"prompt": "Name a fruit.", "chosen": "Apple", "rejected": "Carrot"})
    assert compared_text(pair, by) == text
