"""The built-in rewards against their formulas."""

import math

import pytest

from model.errors import SproutError
from training.rewards.built_in import BUILT_IN, cosine_length, repeated, soft_overlong
from training.rewards.loading import Reward, rate


def of(name: str, completion: str, prompt: str = "?", **columns) -> float | None:
    columns = {key: [value] for key, value in columns.items()}
    found = rate([Reward(name, BUILT_IN[name])], [prompt], [completion], columns).item()
    return None if math.isnan(found) else found


@pytest.mark.parametrize(
    "completion, answer, found",
    [
        ("3 + 4 = 7, so it is 18.", "18", 1),
        ("#### 18 apples", 18, 1),
        ("59", "5", 0),
        ("<think>5</think>59", "5", 0),
        ("<think>59</think>5", "5", 1),
        ("<think>it is 5", "5", 0),  # it never answered
        ("anything", None, None),
        ("anything", "  ", None),
    ],
)
def test_exact(completion, answer, found):
    assert of("exact", completion, answer=answer) == found


def test_the_thought_may_begin_in_the_prompt():
    assert of("exact", "it is 5", "... <think>\n", answer="5") == 0
    assert of("exact", "59, no</think>5", "... <think>\n", answer="5") == 1
    assert of("exact", "<think>\n59, no</think>5", "... <think>\n", answer="5") == 1  # written once more


def test_a_call_is_no_answer_unless_it_is_what_is_right():
    """Else an answer with tools is rewarded that only says the right number to a tool, and is then cut off."""
    call = '<tool_call>\n{"name": "calculator", "arguments": {"expression": "42"}}\n</tool_call>'
    said = [call, f"<think>\nhm\n</think>\n\nLet me see: 6 * 7.\n{call}", "<tool_call>42", f"It is 42.\n{call}"]
    assert [of("exact", one, answer=42) for one in said] == [0, 0, 0, 1]
    paris = call.replace("42", "Paris")
    assert [of("contains", one, answer="Paris") for one in (paris, f"Paris. {paris}")] == [0, 1]
    assert [of(name, call, answer=call) for name in ("exact", "contains")] == [1, 1]


def test_the_right_answer_has_one_of_several_names():
    assert of("exact", "5", right="5") == of("exact", "5", ground_truth="5") == of("exact", "5", solution="5") == 1
    of_two_files = {"answer": ["5", None, None], "solution": [None, "6", None]}
    assert BUILT_IN["exact"]("???", ["5", "6", "7"], **of_two_files) == [1, 1, None]
    with pytest.raises(SproutError, match="give them a field answer or right"):
        of("exact", "5", text="5")


@pytest.mark.parametrize(
    "completion, answer, found",
    [
        ("The capital of France is Paris.", "Paris", 1),
        ("Parisian", "Paris", 0),
        ("Susanna", "Anna", 0),
        ("Anna", "Anna", 1),
        ("Annélie", "Ann", 0),
        ("un café", "caf", 0),
        ("C’est un café noir.", "café", 1),
        ("которые дома", "кот", 0),
        ("Это кот и дом.", "КОТ", 1),
        ("答案是кот。", "кот", 1),
        ("法国的首都是巴黎。", "巴黎", 1),
        ("<think>Paris</think>Rome", "Paris", 0),
        ("5 + 13 is 18.", "5", 0),
        ("5 + 13 is 18.", "18", 1),
        ("?", "", None),
    ],
)
def test_contains(completion, answer, found):
    assert of("contains", completion, answer=answer) == found


@pytest.mark.parametrize(
    "completion, prompt, found",
    [
        ("<think>a\nb</think>\n\nc", "", 1),
        (" <think>a</think>c", "", 1),
        ("a</think>c", "<think>\n", 1),
        ("a</think>c", "", 0),
        ("<think>a</think>c", "<think>", 0),
        ("x<think>a</think>c", "", 0),
        ("<think>a</think>", "", 0),
        ("<think> </think>c", "", 0),
        ("<think>a</think>b<think>c</think>d", "", 0),
        ("<think>a</think>b</think>d", "", 0),
        ("<think>a", "", 0),
        ("c", "", 0),
        ("", "", 0),
    ],
)
def test_format(completion, prompt, found):
    assert of("format", completion, prompt) == found


def test_length_is_a_cosine():
    for tokens in (0, 10, 50, 99, 100):
        wanted = 0.75 + 0.25 * math.cos(math.pi * tokens / 100)
        assert cosine_length(tokens, 100, True) == pytest.approx(wanted)
        assert cosine_length(tokens, 100, False) == pytest.approx(-wanted)
    assert cosine_length(450, 100, True) == 0.5 == -cosine_length(150, 100, False)
    columns = {"completion_ids": [1, 2], "max_new_tokens": 4, "answer": "5"}
    assert of("length", "5", **columns) == pytest.approx(0.75) and of("length", "6", **columns) == pytest.approx(-0.75)
    assert of("length", "5", **columns | {"answer": None}) is None


def test_overlong_is_equation_13_of_dapo():
    def by_hand(tokens, limit, buffer):
        if tokens <= limit - buffer:
            return 0
        return (limit - buffer - tokens) / buffer if tokens <= limit else -1

    for tokens in range(0, 130, 5):
        assert soft_overlong(tokens, 100, 20) == pytest.approx(by_hand(tokens, 100, 20))
    assert of("overlong", "", completion_ids=[0] * 90, max_new_tokens=100) == pytest.approx(-0.5)


def test_repetition_counts_3_grams():
    assert repeated("abcdef") == repeated("ab") == repeated([]) == 0
    assert repeated([7] * 12) == pytest.approx(1 / 10 - 1)
    assert of("repetition", "好的好的好的好的") == pytest.approx(2 / 6 - 1)
    assert of("repetition", "xxxxxx", completion_ids=[1, 2, 3, 4]) == 0
