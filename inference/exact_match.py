"""Greedy answers to the last turn of conversations, compared with the right ones by exact match.

An answer is right if it is, without blanks around it, the text of the conversation's last assistant turn, and the
network ends it there. Of an answer that thinks first, what stands behind `</think>` is compared.
"""

import json
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dataset.records.conversations import Conversation
from dataset.rendering import ChatRenderer
from inference.chat_evaluation import read_chat
from inference.thoughts import THINK, conclusion, take_apart
from model.errors import SproutError, on_one_line
from model.files.disk import write_atomically
from model.generation import generate_batch
from model.sampling import GREEDY

# The right words may take a few tokens more than a tokenizer needs for them.
SPARE_TOKENS = 8

# Long prompts are answered fewer at a time: what each token sees of the others is a table of their length squared.
PROMPT_TOKENS_AT_ONCE = 2**15
SHOWN_CHARACTERS = 300  # of a question


@dataclass(frozen=True)
class Question:
    """What comes before the last assistant turn of a conversation, and that turn."""

    prompt: list[int]
    asked: str  # the turns of the prompt on one line, for people
    right: str
    right_tokens: int  # of it, with the end of its turn
    skill: str | None
    language: str | None


@dataclass(frozen=True)
class Answer:
    text: str
    ended: bool  # or left unfinished: too long, or sure to be wrong
    correct: bool


def read_questions(path: str | Path, renderer: ChatRenderer, tokenizer) -> list[Question]:
    """The questions of a chat file, with the `skill` and `language` that its records name.

    Raises `SproutError` for a file without conversations, and for a line that is none.
    """
    records = list(read_chat(path, f"reading {Path(path).name}"))
    if not records:
        raise SproutError(f"{path} holds no conversation")
    chats = [_up_to_last_answer(conversation) for _, conversation in records]
    questions = []
    for (fields, _), chat, rendered in zip(records, chats, renderer.render(chats), strict=True):
        before, right = chat.messages[:-1], _last_trained(rendered.ids, rendered.trained)
        questions.append(
            Question(
                prompt=renderer.prompt(before, chat.tools),
                asked=_on_one_line(before),
                right=tokenizer.decode(right),
                right_tokens=len(right),
                skill=_label(fields, "skill"),
                language=_label(fields, "language"),
            )
        )
    return questions


def _on_one_line(messages: Sequence[dict]) -> str:
    return on_one_line(" | ".join(filter(None, (" ".join(message["content"].split()) for message in messages))))


def _up_to_last_answer(conversation: Conversation) -> Conversation:
    last = max(i for i, message in enumerate(conversation.messages) if message["role"] == "assistant")
    return Conversation(conversation.messages[: last + 1], conversation.tools)


def _last_trained(ids: np.ndarray, trained: np.ndarray) -> list[int]:
    """The last run of trained tokens: the last answer as it is written for the network, tool calls included."""
    end = np.flatnonzero(trained)[-1] + 1
    start = np.flatnonzero(~trained[:end])[-1] + 1
    return ids[start:end].tolist()


def _label(fields: dict, key: str) -> str | None:
    value = fields.get(key)
    return on_one_line(value) if isinstance(value, str) and value.strip() else None


def answer_all(
    model,
    tokenizer,
    questions: Sequence[Question],
    *,
    end_ids: set[int],
    max_new_tokens: int,
    batch_size: int,
    precision: Callable[[], AbstractContextManager] = nullcontext,
    to_the_end: bool = False,
) -> list[Answer]:
    """The network's greedy answer to each question, `batch_size` at a time, with a progress bar.

    Unless all are wanted `to_the_end`, an answer is left unfinished as soon as it is sure to be wrong: first, all get
    as many tokens as the right ones have; then those that may still become right get `max_new_tokens`. So a network
    that does not stop talking takes little more time than one that does. A prompt that leaves no position for an
    answer gets an empty, wrong one.
    """
    positions = model.config.max_position_embeddings
    answers = [Answer("", False, False)] * len(questions)
    todo = [i for i in range(len(questions)) if len(questions[i].prompt) < positions]
    todo.sort(key=lambda i: -len(questions[i].prompt))  # the longest first: what does not fit fails at once
    with tqdm(total=len(todo), unit="question", desc="answering", leave=False, disable=None) as bar, precision():
        for patient in (True,) if to_the_end else (False, True):
            unfinished = []
            while todo:
                # Where positions run out for one, they run out for all of its batch, so it is answered alone.
                alone = len(questions[todo[0]].prompt) + max_new_tokens > positions
                size = 1 if alone else min(batch_size, max(1, PROMPT_TOKENS_AT_ONCE // len(questions[todo[0]].prompt)))
                few, todo = todo[:size], todo[size:]
                enough = max(questions[i].right_tokens for i in few) + SPARE_TOKENS
                limit = max_new_tokens if patient else min(max_new_tokens, enough)
                prompts = [questions[i].prompt for i in few]
                written = generate_batch(model, prompts, max_new_tokens=limit, sampling=GREEDY, eos_ids=end_ids)
                for i, ids in zip(few, written, strict=True):
                    right, text, ended = questions[i].right, tokenizer.decode(ids), ids[-1] in end_ids
                    answers[i] = Answer(text, ended, ended and conclusion(text) == conclusion(right))
                    if not ended and limit < max_new_tokens and may_become_right(text, right):
                        unfinished.append(i)
                    else:
                        bar.update(1)
            todo = unfinished
    return answers


def may_become_right(beginning: str, right: str) -> bool:
    """Whether an answer that begins so can still end in the right conclusion."""
    beginning = beginning.rstrip("\ufffd").strip()  # half a character, perhaps
    said = take_apart(beginning)
    if THINK.startswith(beginning) or not said.thought_ended:
        return True
    return conclusion(right).startswith(said.answer)


def accuracies(questions: Sequence[Question], answers: Sequence[Answer]) -> dict:
    """{"accuracy", "questions"} of all, of each of "skills" and "languages", and of each skill's "languages"."""
    pairs = list(zip(questions, answers, strict=True))

    def share(of: list) -> dict:
        return {"accuracy": sum(answer.correct for _, answer in of) / len(of), "questions": len(of)}

    def by(label: str, of: list) -> dict[str, list]:
        names = sorted({name for question, _ in of if (name := getattr(question, label)) is not None})
        return {name: [pair for pair in of if getattr(pair[0], label) == name] for name in names}

    languages = {name: share(of) for name, of in by("language", pairs).items()}
    skills = {}
    for name, of in by("skill", pairs).items():
        inner = {language: share(part) for language, part in by("language", of).items()}
        skills[name] = share(of) | ({"languages": inner} if inner else {})
    return share(pairs) | {"skills": skills} | ({"languages": languages} if languages else {})


def table(result: dict) -> list[str]:
    """What `accuracies` returns as lines: a row for each skill, a column for each language, and all together."""
    languages = result.get("languages", {})
    rows = [["exact match", *languages, "all"]]
    for name, skill in [*result["skills"].items(), ("all", result)]:
        of_each = skill.get("languages", {})
        rows.append([name, *(_cell(of_each.get(language)) for language in languages), _cell(skill)])
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_pad(cell, width, i > 0) for i, (cell, width) in enumerate(zip(row, widths))) for row in rows]


def _cell(share: dict | None) -> str:
    return "-" if share is None else f"{share['accuracy']:.1%} of {share['questions']:,}"


def _width(text: str) -> int:
    """Columns of a terminal: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _pad(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - _width(text))
    return blanks + text if right else text + blanks


def wrong_answers(questions: Sequence[Question], answers: Sequence[Answer], count: int) -> list[str]:
    """The first `count` wrong answers beside the right ones, as lines; what was thought first stands above."""
    wrong = [(question, answer) for question, answer in zip(questions, answers) if not answer.correct]
    lines = []
    for question, answer in wrong[:count]:
        label = ", ".join(filter(None, (question.skill, question.language)))
        asked, said = question.asked, take_apart(answer.text)
        if len(asked) > SHOWN_CHARACTERS:
            asked = "... " + asked[-SHOWN_CHARACTERS:]
        lines.append(f"question  {asked}" + (f"  [{label}]" if label else ""))
        if said.thought is not None:
            lines.append(f"  thought {said.thought!r}" + ("" if said.thought_ended else " ... (which never ended)"))
        lines.append(f"  right   {conclusion(question.right)!r}")
        lines.append(f"  wrong   {said.answer!r}" + ("" if answer.ended or not said.thought_ended else " ..."))
    return lines


def save_answers(path: str | Path, questions: Sequence[Question], answers: Sequence[Answer]) -> None:
    """Writes a line of JSON for each question, all of them or none. Raises `SproutError` if they cannot be written.

    {"question", "right": the right answer, "answer", "thought" if there is one, "thought_ended": false if it has no
    end, "ended": whether the network ended its answer, "correct", "skill" and "language" if the record names them}
    """
    lines = []
    for question, answer in zip(questions, answers, strict=True):
        said = take_apart(answer.text)
        fields = {"question": question.asked, "right": conclusion(question.right), "answer": said.answer}
        if said.thought is not None:
            fields |= {"thought": said.thought} | ({} if said.thought_ended else {"thought_ended": False})
        fields |= {"ended": answer.ended, "correct": answer.correct}
        labels = {"skill": question.skill, "language": question.language}
        fields |= {name: label for name, label in labels.items() if label is not None}
        lines.append(json.dumps(fields, ensure_ascii=False) + "\n")
    content = "".join(lines).encode("utf-8")
    write_atomically(path, lambda file: file.write(content))
