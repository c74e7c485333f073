"""From a record to answers that are each good or bad, without another one to compare them with.

A record is such an answer, or a preference, whose chosen answers are good and whose rejected ones are bad.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from dataset.records.chat_formats import CHAT
from dataset.records.conversations import Conversation
from dataset.records.formats import BadRecord, Format, RecordKind
from dataset.records.marks import LABELS
from dataset.records.preferences import PREFERENCE, key_of_several
from dataset.records.turns import as_turns


@dataclass(frozen=True)
class LabelledAnswers:
    """What one record says: conversations, whose answers begin where `trained_from` says, and whether each is good."""

    conversations: tuple[Conversation, ...]
    good: tuple[bool, ...]

    @property
    def labels(self) -> list[float]:
        """1 for each good answer, 0 for each bad one."""
        return [float(one) for one in self.good]

    @property
    def characters(self) -> int:
        return sum(conversation.characters for conversation in self.conversations)

    def to_json(self) -> str:
        """Equal records give equal text, whatever their format."""
        return "".join(f"{one.to_json()}\n{good}\n" for one, good in zip(self.conversations, self.good))


def from_labelled(fields: dict, chat: Format, mark: str = "label") -> LabelledAnswers:
    """A chat in a format of `CHAT`, with a label under `mark`, true or false. Raises BadRecord.

    The label is about the completion of a prompt, which may be several turns, else about the last turn.
    """
    label = fields.get(mark)
    if label not in (True, False):  # 1 and 0 are equal to these
        raise BadRecord(f'"{mark}" is neither true nor false', f"found {json.dumps(label, default=str)[:40]}")
    conversation = chat.read({**fields, mark: None})  # for fine-tuning a false label excludes the record
    answers = [as_turns(fields[key]) for key in ("completion", "response", "answer") if key in chat.keys]
    begins = len(conversation.messages) - max([len(turns) for turns in answers if turns is not None], default=1)
    if not any(message["role"] == "assistant" for message in conversation.messages[begins:]):
        raise BadRecord("the labelled turn is not the assistant's")
    return LabelledAnswers((replace(conversation, trained_from=begins),), (bool(label),))


def from_preference(fields: dict, read: Callable[[dict], object]) -> LabelledAnswers:
    """The answers of the pairs that `read` finds; the chosen one counts once. Raises BadRecord."""
    conversations = tuple(read(fields).conversations)
    if key_of_several(fields):
        conversations = conversations[:1] + conversations[1::2]
        return LabelledAnswers(conversations, (True, *[False] * (len(conversations) - 1)))
    return LabelledAnswers(conversations, (True, False) * (len(conversations) // 2))


# Prompts come first: where both are there, their completions are what was judged.
LABELLED = sorted((one for one in CHAT.formats if one.name != "inline"), key=lambda one: "prompt" not in one.keys)
UNPAIRED = RecordKind(
    "unpaired",
    "an answer that is good or bad, for train_dpo.py --loss_type kto",
    tuple(
        Format(
            f"{one.name}/{mark}",
            one.shape.removesuffix("}") + f', "{mark}": true}}',
            one.keys | {mark},
            partial(from_labelled, chat=one, mark=mark),
            one.looks_right,
        )
        for mark in LABELS
        for one in LABELLED
    ),
)

# Two answers are more than a label: a file of pairs may have such a column besides.
PAIRS_TAKEN_APART = tuple(replace(one, read=partial(from_preference, read=one.read)) for one in PREFERENCE.formats)
UNPAIRED_OR_PAIRS = replace(UNPAIRED, formats=(*PAIRS_TAKEN_APART, *UNPAIRED.formats))
