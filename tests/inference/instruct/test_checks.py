"""What is rejected, and why; and what is read from a reply that nobody vouches for."""

import itertools

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
COLOURS = " ".join(word for three in itertools.product(("red", "green", "blue"), repeat=3) for word in three)


def periodic(period: int, count: int = 43) -> str:
    """Words that come again after so many; 43 have 40 4-grams, of which `period` are different."""
    return " ".join(f"word{place % period}" for place in range(count))


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
        ("Go on now", None),
        (periodic(151, 150), None),
        (periodic(151, 151), "too long"),
        *(
            (f"Say it {marker} now", "control tokens")
            for marker in ("<think>", "</tool_call>", "<s>", "[INST]", "[/INST]")
        ),
        *((f"Say it {one} now", "control characters") for one in "\x00\r\x7f\x9f\u200b\u2028\u202e\u2067\ufeff\ufffd"),
        ("Say it:\n\ta haiku", None),
        ('"Now" means what?', None),
        ("(Now) means what?", None),
        ("DRAW a red house", "about images or files"),
        (periodic(13), "repeats itself"),
        (periodic(14), None),
        (periodic(2, 19), None),
        (periodic(2, 20), "repeats itself"),
        (COLOURS, None),
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
    "refusal",
    [
        "I'm sorry.",
        "I’m sorry",
        "i am sorry",
        "I apologize",
        "I apologise",
        "As an AI",
        "as a language model",
        "I cannot help",
        "I can not answer",
        "I can't assist",
        "I can’t provide",
        "I'm unable to",
        "I am not able to",
        "抱歉",
        "对不起",
        "很遗憾",
        "作为一个人工智能",
        "作为一名AI",
        "作为一名AI助手",
        "作为AI助手",
        "作为一个语言模型",
        "我无法回答",
        "我不能提供",
    ],
)
def test_refusals_stand_at_the_beginning_of_an_answer(refusal):
    asked = "Name three rivers in Asia."
    assert answer_fault(asked, f"Hello there! {refusal} that", "stop", frozenset()) == "refusal"
    assert answer_fault(asked, f"{periodic(40)} {refusal} that", "stop", frozenset()) is None


@pytest.mark.parametrize(
    "answer", ["作为人工智能的先驱，他提出了图灵测试。", "作为一名AI工程师，他开发了第一个象棋程序。"]
)
def test_an_answer_about_artificial_intelligence_is_no_refusal(answer):
    assert answer_fault("图灵为什么出名？", answer, "stop", CHINESE) is None


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("one two three four five six seven eight nine other", "repeats the question"),  # ROUGE-L 0.9
        ("one two three four five six seven eight and other", None),
        ("ONE two three four five six seven eight nine ten?", "repeats the question"),
        (f"one two three four five six seven eight nine ten is {periodic(40)}", None),
    ],
)
def test_an_answer_says_more_than_its_question(answer, fault):
    assert answer_fault("one two three four five six seven eight nine ten", answer, "stop", frozenset()) == fault


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("Names and terms are fine as they", None),
        ("Names and terms are fine as they stand", "another language"),
        ("1 2 3 4 5 6 7 8 9", None),
        ("在别的语言里也可以有这样的回答", None),
    ],
)
def test_only_an_answer_of_some_length_has_a_language(answer, fault):
    assert answer_fault("请说出亚洲的三条河流。", answer, "stop", CHINESE) == fault


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
