"""Answers that are kept part by part: what an interrupted run has answered is not asked again."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from inference.exact_match import Answer, Question
from inference.growing_file import GrowingFile
from inference.saved_answers import BATCHES, answer_in_parts
from model.errors import UsageError

SAID = [" yes ", "<think>\n2 + 2\n</think>\n\nyes", "<think>without an end", "no", "\ud800", ""]


def questions(count: int) -> list[Question]:
    return [Question([number], f"{number}?", "yes", 4, "sum", None) for number in range(count)]


def answer(some: list[Question], note, fail_at: int = 1000):
    answers = []
    for question in some:
        (number,) = question.prompt
        if number == fail_at:
            raise KeyboardInterrupt
        text = SAID[number % len(SAID)]
        answers.append(Answer(text, number % 5 > 0, number % 5 > 0 and question.is_answered_by(text)))
        note(0)
    return answers, Counter(calls=len(some))


@pytest.mark.parametrize("fail_at", [0, BATCHES - 1, 2 * BATCHES, 3 * BATCHES + 1])
def test_an_interrupted_run_ends_as_one_that_was_not(fail_at, tmp_path):
    asked = questions(3 * BATCHES + 2)
    whole, path = str(tmp_path / "whole.jsonl"), str(tmp_path / "a.jsonl")
    with GrowingFile(whole, {}, False) as file:
        expected = answer_in_parts(asked, answer, 1, file)
    with pytest.raises(KeyboardInterrupt), GrowingFile(path, {}, False) as file:
        answer_in_parts(asked, lambda some, note: answer(some, note, fail_at), 1, file)
    again = []

    def counted(some, note):
        again.extend(some)
        return answer(some, note)

    with GrowingFile(path, {}, True) as file:
        answers, counts = answer_in_parts(asked, counted, 1, file)
    assert again == asked[fail_at // BATCHES * BATCHES :]
    assert counts == expected[1] == Counter(calls=len(asked))
    seen = [(one.ended, one.correct, one.lost_in_thought) for one in answers]
    assert seen == [(one.ended, one.correct, one.lost_in_thought) for one in expected[0]]
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_without_a_file_all_questions_are_one_part():
    sizes = []
    answer_in_parts(questions(40), lambda some, note: sizes.append(len(some)) or answer(some, note), 1, None)
    assert sizes == [40]


def test_answers_to_other_questions_are_not_gone_on_with(tmp_path):
    path, asked = str(tmp_path / "a.jsonl"), questions(2 * BATCHES)

    def begin():
        with pytest.raises(KeyboardInterrupt), GrowingFile(path, {}, False) as file:
            answer_in_parts(asked, lambda some, note: answer(some, note, BATCHES), 1, file)

    begin()
    others = {
        "is not the one that was answered": [replace(asked[0], right="no"), *asked[1:]],
        "there are fewer questions than were answered": asked[:3],
    }
    for expected, some in others.items():
        with pytest.raises(UsageError, match=expected), GrowingFile(path, {}, True) as file:
            answer_in_parts(some, answer, 1, file)
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert [json.loads(line)["question"] for line in lines] == [one.asked for one in asked[:BATCHES]]
