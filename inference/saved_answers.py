"""The file of --save_answers: a line for each question, in the order of the data, which grows part by part."""

import json
from collections import Counter
from collections.abc import Callable, Sequence

from dataset.records.reading import bar_over
from inference.exact_match import Answer, Question
from inference.growing_file import GrowingFile
from inference.thoughts import THINK, THINK_END, conclusion, take_apart
from model.errors import UsageError
from model.json_text import json_text

BATCHES = 8  # in a part: the more there are, the less of a batch is padding, and the more a kill loses
OTHER_QUESTIONS = "go on with the file that the run began with, or choose another --save_answers"


def answer_in_parts(
    questions: Sequence[Question],
    answer: Callable[..., tuple[list[Answer], Counter]],
    batch_size: int,
    file: GrowingFile | None,
) -> tuple[list[Answer], Counter]:
    """The answers to all questions, and counts of them, with a progress bar.

    answer(some questions, note=note) -> their answers and counts; `note` is that of `exact_match.answer_all`.
    file: what is answered is added to it, and what it has is not answered again; None: all questions are one part.

    Raises `UsageError` where the file has answers to other questions.
    """
    answers: list[Answer] = []
    counts: Counter = Counter()
    size = len(questions)  # of a part
    if file:
        answers += [_known(question, line) for question, line in zip(questions, file.earlier())]
        if len(answers) < file.records:
            raise UsageError(f"there are fewer questions than were answered: {OTHER_QUESTIONS}")
        counts += file.counts
        size = BATCHES * batch_size
    with bar_over(len(questions), "answering", " questions") as bar:
        bar.update(len(answers))

        def note(again: int) -> None:
            bar.total += again  # not to count it now would make the time left far too long
            bar.update(1)

        for start in range(len(answers), len(questions), size):
            part = questions[start : start + size]
            new, of_them = answer(part, note=note)
            if file:
                records = [as_record(question, found) for question, found in zip(part, new, strict=True)]
                file.add(records, len(part), of_them)
            answers += new
            counts += of_them
    return answers, counts


def as_record(question: Question, answer: Answer) -> dict:
    """{"question", "right": the right answer, "answer", "thought" if there is one, "thought_ended": false if it has no
    end, "ended": whether the network ended its answer, "correct", "skill" and "language" if the record names them}"""
    said = take_apart(answer.text)
    fields = {"question": question.asked, "right": conclusion(question.right), "answer": said.answer}
    if said.thought is not None:
        fields["thought"] = said.thought
        if not said.thought_ended:
            fields["thought_ended"] = False
    fields |= {"ended": answer.ended, "correct": answer.correct}
    labels = {"skill": question.skill, "language": question.language}
    return fields | {name: label for name, label in labels.items() if label is not None}


def _known(question: Question, line: str) -> Answer:
    """The answer that `line` holds. Raises `UsageError` where it is one to another question."""
    try:
        found = json.loads(line)
        text, ended = found["answer"], found["ended"]
        if "thought" in found:
            end = "" if "thought_ended" in found else THINK_END + text  # it is only ever written as false
            text = THINK + found["thought"] + end
        answer = Answer(text, ended, ended and question.is_answered_by(text))
        is_its_line = json_text(as_record(question, answer)) == line.rstrip("\n")
    except (ValueError, TypeError, KeyError, AttributeError):
        is_its_line = False
    if not is_its_line:
        raise UsageError(f"the question {question.asked[:60]!r} is not the one that was answered: {OTHER_QUESTIONS}")
    return answer
