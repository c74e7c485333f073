"""Greedy answers to the last turn of conversations, compared with the right ones by exact match.

An answer is right if it equals the text of the conversation's last assistant turn, without blanks around it, and the
network ends it there. If it thinks first, only the text after `</think>` is compared. A right answer that ends in
`#### 18`, as those of GSM8K do, is a number with the way to it: `inference/grading.py` compares the number alone.
Where a record lists further answers under `also_right`, each of them is as good as that of its last turn.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dataset.records.chat_formats import CHAT
from dataset.records.conversations import Conversation
from dataset.records.documents import Document
from dataset.records.kinds import only
from dataset.records.measured import all_documents, at_line
from dataset.rendering import ChatRenderer
from inference.grading import grade, is_marked_number
from inference.thoughts import THINK, conclusion, take_apart
from model.errors import SproutError, on_one_line
from model.generation import generate_batch
from model.sampling import GREEDY

# A network may write the right words with a few more tokens than the tokenizer.
SPARE_TOKENS = 8

# Fewer long prompts are answered at a time, because what the network computes of all of them is in memory at once.
PROMPT_TOKENS_AT_ONCE = 2**15


@dataclass(frozen=True)
class Question:
    """What comes before the last assistant turn of a conversation, and that turn."""

    prompt: list[int]  # ids
    asked: str  # the turns of the prompt on one line, for people
    right: str  # the text of that turn
    right_tokens: int  # number of tokens in the longest right answer, with the end of its turn
    skill: str | None
    language: str | None
    also_right: tuple[str, ...] = ()

    def is_answered_by(self, text: str) -> bool:
        """Whether a complete answer is one of the right ones."""
        return any(is_right(text, right) for right in (self.right, *self.also_right))

    def may_be_answered_by(self, beginning: str) -> bool:
        """Whether an answer with this beginning can still become one of the right ones."""
        return any(may_become_right(beginning, right) for right in (self.right, *self.also_right))


@dataclass(frozen=True)
class Answer:
    """What the network wrote, thoughts included."""

    text: str
    ended: bool  # False if it was too long, or was stopped because it was surely wrong
    correct: bool

    @property
    def lost_in_thought(self) -> bool:
        """Whether it began with a thought that never ended."""
        return not take_apart(self.text).thought_ended


def read_questions(
    path: str | Path, renderer: ChatRenderer, tools: Sequence[dict] = (), format_name: str | None = None
) -> list[Question]:
    """The questions of a chat file, with the `skill` and `language` that its records name, and what is `also_right`.

    tools: schemas of what the network may call; calls and results before the last answer are then left to it.
    format_name: the only format that is read. Raises `SproutError` for a file without conversations, for a line that is
    not one, and for an `also_right` that is no list of texts.
    """
    records = list(all_documents(path, only(CHAT, format_name), "reading"))
    if not records:
        raise SproutError(f"{path} holds no conversation")
    chats = [replace(record, content=_up_to_last_answer(record.content)) for record in records]
    written = renderer.encode([at_line(path, chat, renderer.spans) for chat in chats])
    asked = [_asked(chat.content, tools) for chat in chats]
    prompts = renderer.encode(
        [at_line(path, replace(chat, content=one), renderer.prompt_spans) for chat, one in zip(chats, asked)]
    )
    questions = []
    for record, rendered, one, prompt in zip(records, written, asked, prompts, strict=True):
        right = _last_trained(rendered.ids, rendered.trained)
        also_right = _also_right(record, path)
        lengths = [len(right), *(len(renderer.tokenizer.encode(text)) + 1 for text in also_right)]
        questions.append(
            Question(
                prompt=prompt.ids.tolist(),
                asked=_on_one_line(one.messages),
                right=renderer.tokenizer.decode(right),
                right_tokens=max(lengths),
                skill=_label(record.fields, "skill"),
                language=_label(record.fields, "language"),
                also_right=also_right,
            )
        )
    return questions


def _on_one_line(messages: Sequence[dict]) -> str:
    return on_one_line(" | ".join(filter(None, (" ".join(message["content"].split()) for message in messages))))


def _up_to_last_answer(conversation: Conversation) -> Conversation:
    last = max(i for i, message in enumerate(conversation.messages) if message["role"] == "assistant")
    return Conversation(conversation.messages[: last + 1], conversation.tools)


def _asked(chat: Conversation, tools: Sequence[dict]) -> Conversation:
    """What stands before the last answer: with tools, before the calls that led to it."""
    before = chat.messages[:-1]
    while tools and before and before[-1]["role"] in ("assistant", "tool"):
        before = before[:-1]
    return Conversation(before, tools or chat.tools)


def _last_trained(ids: np.ndarray, trained: np.ndarray) -> list[int]:
    """The last run of trained tokens: the last answer as it is written for the network, tool calls included."""
    end = np.flatnonzero(trained)[-1] + 1
    start = np.flatnonzero(~trained[:end])[-1] + 1
    return ids[start:end].tolist()


def _label(fields: dict, key: str) -> str | None:
    value = fields.get(key)
    return on_one_line(value) if isinstance(value, str) and value.strip() else None


def _also_right(record: Document, path: str | Path) -> tuple[str, ...]:
    """What else is right by the record; nothing, if it does not say so."""
    listed = record.fields.get("also_right")
    if listed is None:
        return ()
    if not isinstance(listed, list) or not all(isinstance(text, str) and text.strip() for text in listed):
        raise SproutError(f"{path}, line {record.line}: also_right must be a list of answers in words: correct it")
    return tuple(listed)


def answer_all(
    model,
    tokenizer,
    questions: Sequence[Question],
    *,
    end_ids: Collection[int],
    max_new_tokens: int,
    batch_size: int,
    precision: Callable[[], AbstractContextManager] = nullcontext,
    to_the_end: bool = False,
    vocabulary: int = 0,
    note: Callable[[int], None] = lambda again: None,
) -> list[Answer]:
    """The network's greedy answer to each question, `batch_size` at a time.

    model: ready to generate (`inference.writer.ready_to_generate`), which returns `precision`. vocabulary: as for
    `Sampling`. note: called for each answer, with 1 if its question is asked again, with 0 if that is all.

    Unless `to_the_end` is set, an answer stops as soon as it is surely wrong: first, all get as many tokens as the
    right ones have; then those that may still become right get `max_new_tokens`. So a network that never ends its
    answers takes little more time than others. A prompt that leaves no position for an answer gets an empty, wrong one.
    """
    positions = model.config.max_position_embeddings
    settings = {"sampling": replace(GREEDY, vocabulary=vocabulary), "eos_ids": end_ids}
    lengths = [len(question.prompt) for question in questions]
    answers = [Answer("", False, False)] * len(questions)

    def ask(places: list[int], patient: bool) -> list[int]:
        """Answers the questions at these places; returns those that are to be asked again, with patience."""
        unfinished = []
        for few in _batches(lengths, places, batch_size, room=positions - max_new_tokens):
            enough = max(questions[i].right_tokens for i in few) + SPARE_TOKENS
            limit = max_new_tokens if patient else min(max_new_tokens, enough)
            written = generate_batch(model, [questions[i].prompt for i in few], max_new_tokens=limit, **settings)
            for i, ids in zip(few, written, strict=True):
                text = tokenizer.decode(ids)
                ended = ids[-1] in end_ids
                answers[i] = Answer(text, ended, ended and questions[i].is_answered_by(text))
                again = not ended and limit < max_new_tokens and questions[i].may_be_answered_by(text)
                if again:
                    unfinished.append(i)
                note(int(again))
        return unfinished

    todo = [i for i, length in enumerate(lengths) if length < positions]
    for _ in range(len(questions) - len(todo)):
        note(0)
    todo.sort(key=lambda i: -lengths[i])  # longest first: out of memory shows at once
    with precision():
        if not to_the_end:
            todo = ask(todo, patient=False)
        ask(todo, patient=True)
    return answers


def _batches(lengths: Sequence[int], places: list[int], batch_size: int, room: int) -> Iterator[list[int]]:
    """The places, in their order, in parts that are answered together. lengths: of all prompts, in tokens.

    room: tokens that leave space for a whole answer. A longer prompt would shorten the answers of its whole batch, so
    it is alone.
    """
    while places:
        length = lengths[places[0]]
        size = 1 if length > room else min(batch_size, max(1, PROMPT_TOKENS_AT_ONCE // length))
        yield places[:size]
        places = places[size:]


def is_right(text: str, right: str) -> bool:
    """Whether a complete answer is right."""
    text, right = conclusion(text), conclusion(right)
    return grade(text, right) is True if is_marked_number(right) else text == right


def may_become_right(beginning: str, right: str) -> bool:
    """Whether an answer with this beginning can still become right."""
    if is_marked_number(conclusion(right)):
        return True
    beginning = beginning.rstrip("\ufffd").strip()  # half a character, perhaps
    said = take_apart(beginning)
    if THINK.startswith(beginning) or not said.thought_ended:
        return True
    return conclusion(right).startswith(said.answer)
