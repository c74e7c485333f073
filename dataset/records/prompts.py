"""From a record to a prompt: what a policy is asked, and what its answers are rated by.

A record is a prompt, or any chat. Its last turn, if that is the assistant's, is no part of the prompt: where it is
blank, it only says who speaks next; else it is the right answer, which the rewards get as the column `answer`. All
other columns of the record are theirs as well.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from dataset.records.chat_formats import CHAT, has_rounds
from dataset.records.conversations import Conversation, from_alpaca, from_completion, from_conversations
from dataset.records.formats import BadRecord, Format, RecordKind
from dataset.records.marks import without_marks
from dataset.records.turns import SHAREGPT_ROLES, as_turns, lower, rounds_as_turns

ASKED = ("prompt", "question", "problem", "query", "instruction")  # the first of these that a record has is asked
ANSWERS = ("output", "completion", "response", "answer")  # where a record with such a key has its answer
PLACE = "?"  # stands for an answer that is to be written, where a reader of chats wants one
TURNS, PARTS = ("conversations", "messages", "conversation"), ("system", "system_prompt", "tools", "functions")


@dataclass(frozen=True)
class Prompt:
    """The turns before the answer, and what else the record holds."""

    conversation: Conversation
    columns: dict

    @property
    def characters(self) -> int:
        return self.conversation.characters

    def to_json(self) -> str:
        """Equal prompts give equal text, whatever is right, so that all of them are held out or none."""
        return self.conversation.to_json()


def from_prompt(fields: dict, key: str = "prompt") -> Prompt:
    """`{"prompt": ...}`, a text or a list of messages, or another key of `ASKED`; other columns as they are.

    An `instruction` may have an `input`, as in a chat. Raises BadRecord.
    """
    if as_turns(fields.get(key)) is not None:
        return _from_turns(fields, key, partial(from_conversations, key=key))
    read = from_alpaca if key == "instruction" else partial(from_completion, prompt=key)
    asked = read({**without_marks(fields), PLACE: PLACE}, answer=PLACE)
    return _prompt(asked, fields, (key, "history", *(("input",) if key == "instruction" else ())), is_answered=False)


def from_chat(fields: dict, read: Callable[[dict], Conversation], keys: frozenset[str]) -> Prompt:
    """A chat as `read` takes it; `keys`: those of its format. Raises BadRecord."""
    key = next(iter(keys & {*TURNS}), None)
    if key is not None:
        if has_rounds(fields, key):
            fields, read = {**fields, key: rounds_as_turns(fields, key)}, partial(from_conversations, key=key)
        return _from_turns(fields, key, read)
    parts = ("input", "context", "history") if "instruction" in keys else ("history",)
    answer = next((name for name in ANSWERS if name in keys), None)
    said = fields.get(answer) if answer else PLACE
    is_blank = said is None or (isinstance(said, str) and not said.strip())
    if is_blank or (isinstance(said, int | float) and not isinstance(said, bool)):  # the right answer may be a number
        fields = {**fields, answer: PLACE if is_blank else str(said)}
    return _prompt(read(without_marks(fields)), fields, (*keys, *parts), is_answered=not is_blank)


def _from_turns(fields: dict, key: str, read: Callable[[dict], Conversation]) -> Prompt:
    turns = as_turns(fields.get(key))
    last = lower(turns[-1]) if turns and isinstance(turns[-1], dict) else {}
    speaker, said = ("from", "value") if "from" in last else ("role", "content")
    is_answered = SHAREGPT_ROLES.get(str(last.get(speaker))) == "assistant"
    if _is_blank(last):
        turns, is_answered = turns[:-1], False
    if last and not is_answered:
        # With all the keys that the other turns have, if as null, so that one can still see whether Arrow wrote them.
        keys = dict.fromkeys(turns[-1] if turns else ())
        turns = [*turns, {**keys, speaker: "gpt" if speaker == "from" else "assistant", said: PLACE}]
    return _prompt(read({**without_marks(fields), key: turns}), fields, (key,), is_answered)


def _is_blank(turn: dict) -> bool:
    """Whether a turn is an answer that is left blank."""
    speaker, said = ("from", "value") if "from" in turn else ("role", "content")
    is_answer = SHAREGPT_ROLES.get(str(turn.get(speaker))) == "assistant"
    return is_answer and not (str(turn.get(said) or "").strip() or turn.keys() & {"tool_calls", "reasoning_content"})


def is_left_blank(fields: dict) -> bool:
    """Whether a record is a chat whose last answer is left blank, which only says who speaks next."""
    chats = [turns for key in TURNS if (turns := as_turns(fields.get(key))) and isinstance(turns[-1], dict)]
    return any(_is_blank(lower(turns[-1])) for turns in chats)


def _prompt(conversation: Conversation, fields: dict, keys: tuple[str, ...], is_answered: bool) -> Prompt:
    """The prompt of a conversation that ends with an answer, or with `PLACE` instead."""
    index = max(i for i, message in enumerate(conversation.messages) if message["role"] == "assistant")
    before, said = conversation.messages[:index], conversation.messages[index]["content"]
    if not before or before[-1]["role"] == "assistant":
        raise BadRecord("nothing is asked before the answer")
    columns = {name: value for name, value in fields.items() if name not in (*keys, *PARTS)}
    if is_answered:
        columns = {"answer": said} | columns
    return Prompt(replace(conversation, messages=before, untrained=frozenset()), columns)


PROMPT = RecordKind(
    "prompt",
    "a prompt, for train_grpo.py, train_ppo.py and train_distill.py --on_policy 1",
    tuple(Format(key, f'{{"{key}": "..."}}', frozenset({key}), partial(from_prompt, key=key)) for key in ASKED),
)
CHATS_TAKEN_APART = tuple(replace(one, read=partial(from_chat, read=one.read, keys=one.keys)) for one in CHAT.formats)
PROMPT_OR_CHAT = replace(PROMPT, formats=(*CHATS_TAKEN_APART, *PROMPT.formats))
