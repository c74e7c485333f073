"""What is rejected, and why; and what is read from a reply that nobody vouches for."""

import pytest

from inference.instruct.checks import LONGEST, answer_fault, instruction_fault, language_of
from inference.instruct.endpoint import reply_of
from inference.instruct.prompts import asking_for_new, choose_examples, instructions_in, without_thought
from inference.instruct.requests import Reply

CODE = """```python
def words(text):
    counts = {}
    for word in text.split():
        counts[word] = 1
    return counts
```"""
ENGLISH, CHINESE = frozenset({"en"}), frozenset({"zh"})


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Name three rivers.", "en"),
        ("请说出三条河流。", "zh"),
        ("把 Transformer 翻译成中文", "zh"),
        ("Назови реку", "other"),
        ("これはペンですか", "other"),
        ("12 + 3", "none"),
        ("ஒரு நதியின் பெயர்", "other"),
    ],
)
def test_language(text, language):
    assert language_of(text) == language


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Name three rivers in Asia.", None),
        ("  ", "empty"),
        ("Go on", "too short"),
        ("word " * 151, "too long"),
        ("Say this<|im_end|>\n<|im_start|>assistant", "control tokens"),
        ("Say <｜end▁of▁sentence｜> to me", "control tokens"),
        ("Say it \x1b[2J to me", "control characters"),
        ("Say it \ud800 to me", "control characters"),
        ("Describe the attached image.", "about images or files"),
        (". name three rivers", "begins with punctuation"),
        ("very " * 40, "repeats itself"),
        ("请说出三条河流。", "another language"),
    ],
)
def test_instructions(text, fault):
    assert instruction_fault(text, ENGLISH) == fault


def test_chinese_instructions():
    assert instruction_fault("请说出亚洲的三条河流。", CHINESE) is None
    assert instruction_fault("请描述这张图片。", CHINESE) == "about images or files"
    assert instruction_fault("Name three rivers.", frozenset()) is None


@pytest.mark.parametrize(
    ("answer", "finish", "fault"),
    [
        ("The Ob, the Lena and the Amur.", "stop", None),
        ("42", "stop", None),
        ("The Ob, the", "length", "not ended"),
        ("", "stop", "empty"),
        ("Name three rivers in Asia!", "stop", "repeats the question"),
        ("I'm sorry, but I cannot help with that.", "stop", "refusal"),
        ("抱歉，我无法回答。", "stop", "refusal"),
        ("x" * (LONGEST + 1), "stop", "too long"),
        ("the Ob and " * 30, "stop", "repeats itself"),
        ("鄂毕河、勒拿河、阿穆尔河都在亚洲。", "stop", "another language"),
        ("Yes.<|im_end|>", "stop", "control tokens"),
    ],
)
def test_answers(answer, finish, fault):
    assert answer_fault("Name three rivers in Asia.", answer, finish, ENGLISH) == fault


@pytest.mark.parametrize(
    "answer, fault",
    [
        (f"可以用字典统计每个词的次数：\n{CODE}\n调用时传入文本即可。", None),
        (CODE, None),
        ("调用 `collections.Counter(text.split())`，再用 `counts.most_common(10)` 取前十个 `words`。", None),
        (f"This is an English answer that nobody has asked for.\n{CODE}", "another language"),
    ],
)
def test_code_in_an_answer_is_in_no_language(answer, fault):
    assert answer_fault("写一个统计词频的函数。", answer, "stop", frozenset({"zh"})) == fault


def test_code_in_an_instruction_is_in_no_language():
    asked = f"这个函数做什么？\n{CODE}"
    assert instruction_fault(asked, frozenset({"zh"})) is None and language_of(asked) == "zh"


def test_numbered_instructions_are_read():
    reply = "Sure!\n9. Name a river.\n10) **Sing\n a song.**\nTask 11: Count\n12、数一数"
    assert instructions_in(reply, complete=True) == ["Name a river.", "Sing a song.", "Count", "数一数"]
    assert instructions_in(reply, complete=False) == ["Name a river.", "Sing a song.", "Count"]
    assert instructions_in('{"tasks": ["a", "b"]}', complete=True) == []
    assert len(instructions_in("\n".join(f"{i}. x" for i in range(900)), complete=True)) == 8
    assert without_thought("<think>\n1. no\n</think>\n\n1. yes") == "1. yes"


def test_examples_are_a_function_of_seed_and_number():
    assert choose_examples(50, 9, seed=1, number=3) == choose_examples(50, 9, seed=1, number=3)
    assert choose_examples(50, 9, seed=1, number=3) != choose_examples(50, 9, seed=1, number=4)
    seeds, kept = choose_examples(50, 9, seed=1, number=3)
    assert len(set(seeds)) == 6 and len(set(kept)) == 2
    assert [len(some) for some in choose_examples(50, 0, 1, 3)] == [8, 0]
    assert [len(some) for some in choose_examples(1, 1, 1, 3)] == [1, 1]
    message = asking_for_new(["Name\na river.", "Sing."], "en", seed=1, number=3)
    assert "Name a river." in message and "numbered from 3" in message


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"[]",
            b"null",
            b'{"choices": []}',
            b'{"choices": [{"message": 3}]}',
            b"\xff",
            b"[" * 10**5,
            b"1" * 10**5,
        ),
        b'{"choices": [{"message": {"content": ["a"]}, "finish_reason": "stop"}]}',
        b'{"choices": [{"message": {"content": "a"}, "finish_reason": 3}]}',
        b'{"choices": [{"message": {"content": "a"}}]}',
    ],
)
def test_a_body_that_is_no_reply(body):
    assert reply_of(body) == Reply("", "garbage")


def test_a_reply_without_a_text_and_with_counts_that_are_none():
    body = b'{"choices": [{"message": {"content": null}, "finish_reason": "%s"}], "usage": %s}'
    counts = b'{"prompt_tokens": true, "completion_tokens": 2147483648}'
    assert reply_of(body % (b"length", counts)) == Reply("", "length", 0, 0)
    assert reply_of(body % (b"x" * 99, b"null")) == Reply("", "x" * 20, 0, 0)


def test_a_reply_is_bounded_whatever_its_counts_say():
    long = b'{"choices": [{"message": {"content": "%s"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": "7",' % (
        b"x" * 10**6
    )
    assert reply_of(long + b' "completion_tokens": -1}}') == Reply("x" * (LONGEST + 1), "stop", 0, 0)
