"""Greedy answers compared with the right ones: what is compared, and when an answer may end early."""

from dataclasses import replace

import pytest

from dataset.rendering import ChatRenderer
from inference.answer_report import accuracies, table
from inference.exact_match import Answer, Question, answer_all, is_right, may_become_right
from inference.thoughts import conclusion
from tests.stages.talker import ENDLESS, talker, turns


def test_a_question_longer_than_the_network_is_wrong_and_disturbs_no_other():
    network, tokenizer = talker()
    renderer = ChatRenderer(tokenizer)

    def question(text: str, right: str) -> Question:
        return Question(renderer.prompt(turns(text)), text, right, len(right.encode()) + 1, None, None)

    questions = [question("x" * 3000, "x"), question("y" * 2025, "y" * 99), question("Capital of France?", "Paris.")]
    notes = []
    settings = {"end_ids": {2}, "max_new_tokens": 100, "batch_size": 8, "note": notes.append}
    full = replace(questions[0], prompt=[1] * network.config.max_position_embeddings)  # no position is left
    answers = answer_all(network, tokenizer, [*questions, full], **settings)
    assert notes[:2] == [0, 0] and len(notes) - sum(notes) == 4  # each is counted once, and once more if asked again
    assert answers[0] == answers[3] == Answer("", False, False) and not answers[1].correct and answers[2].correct


def test_answers_do_not_depend_on_their_right_ones_length():
    """Where generation may end early, it ends only what is wrong already. What goes on is answered again."""
    notes = []
    network, tokenizer = talker()
    renderer = ChatRenderer(tokenizer)
    question = Question(renderer.prompt(turns("Think.")), "", "Yes.", 5, None, None)
    rambling = Question(renderer.prompt(ENDLESS[:-1]), "", "na na na na na na na na na na", 2, None, None)
    settings = {"end_ids": {2}, "max_new_tokens": 64, "batch_size": 2, "note": notes.append}
    thinking, endless = answer_all(network, tokenizer, [question, rambling], **settings)
    assert thinking.correct and thinking.text.startswith("<think>")
    assert not endless.ended and len(endless.text) == 64  # might have ended in time, so it was given all tokens
    (early,) = answer_all(network, tokenizer, [replace(rambling, right="No.")], **settings)
    assert not early.ended and len(early.text) < 16
    assert sorted(notes) == [0, 0, 0, 1]  # three are all, one was asked again
    notes.clear()
    short = settings | {"max_new_tokens": 8}
    (few,) = answer_all(network, tokenizer, [replace(rambling, right_tokens=30)], **short)
    assert few.text == endless.text[:8] and notes == [0]  # a long right answer makes no answer longer than all may be
    (cut,) = answer_all(network, tokenizer, [replace(rambling, right=endless.text)], **settings)
    assert cut == Answer(endless.text, False, False)  # the right words, but they would have gone on


def test_what_is_compared():
    assert conclusion(" Yes. \n") == "Yes."
    assert conclusion("<think>\nNo?\n</think>\n\nYes.") == "Yes."
    assert conclusion("<think>Yes.") == ""
    assert conclusion("I <think> so") == "I <think> so"
    assert may_become_right(" 巴\ufffd", "巴黎。") and not may_become_right("里", "巴黎。")
    assert not may_become_right("<think>\nNo\n</think>\n\nNo", "Yes.")
    assert may_become_right("<think>\nNo", "Yes.") and may_become_right("<thi", "Yes.")
    thoughts = [("<think>Yes.", True), ("<think>No?</think>Yes.", False), ("Yes.", False)]
    assert all(Answer(text, True, False).lost_in_thought is lost for text, lost in thoughts)
    assert may_become_right("Ye", "<think>\nhm\n</think>\n\nYes.")


def test_each_of_several_right_answers_is_right():
    question = Question([1], "", "Yes.", 5, None, None, also_right=("Sure.", "Of course."))
    assert all(question.is_answered_by(text) for text in ("Yes.", "Sure.", "Of course."))
    assert all(question.may_be_answered_by(text) for text in ("Y", "Su", "Of"))
    assert not question.is_answered_by("No.") and not question.may_be_answered_by("N")


def test_a_table_lines_up_wide_characters():
    question = Question([1], "", "", 1, "加法", "zh")
    lines = table(accuracies([question, replace(question, skill="sum", language="en")], [Answer("", True, True)] * 2))
    assert lines[0].startswith("exact match  ") and lines[1].startswith("sum          ")
    assert lines[2].startswith("加法         ")


GSM8K = "She sells 16 - 3 - 4 = <<16-3-4=9>>9 eggs, for 9 * 2 = $<<9*2=18>>18.\n#### 18"


@pytest.mark.parametrize(
    "text, right, found",
    [
        ("9 eggs for $2 each make $18.00.", GSM8K, True),
        ("<think>19</think>#### 18", GSM8K, True),
        ("#### 18\n#### 19", GSM8K, False),
        ("<think>It is 18", GSM8K, False),
        ("18.0", "18", False),  # any other answer is compared as it is written
        ("3 + 4 = 7", "3 + 4 = 7", True),
        ("7", "#### 7 is a heading", False),
    ],
)
def test_the_number_of_an_answer_as_gsm8k_writes_it_is_graded(text, right, found):
    assert is_right(text, right) is found
    assert not found or may_become_right(text[: len(text) // 2], right)
