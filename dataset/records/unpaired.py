"""From a record to answers that are each good or bad, without another one to compare them with.

A record is such an answer, or a preference, whose chosen answers are good and whose rejected ones are bad.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from dataset.records.conversations import (
    Conversation,
    from_completion,
    from_conversations,
    from_sharegpt,
    has_roles,
    is_sharegpt,
)
from dataset.records.formats import BadRecord, Format, RecordKind
from dataset.records.preferences import PREFERENCE
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


def from_labelled(fields: dict, answer: str = "completion") -> LabelledAnswers:
    """`{"prompt": ..., "completion": ..., "label": true}`, with texts or lists of messages. Raises BadRecord."""
    turns = as_turns(fields.get(answer))
    return _labelled(fields, partial(from_completion, answer=answer), 1 if turns is None else len(turns))


def from_labelled_chat(fields: dict, read: Callable[[dict], Conversation]) -> LabelledAnswers:
    """A chat as `read` takes it, with a label that is about its last turn. Raises BadRecord."""
    return _labelled(fields, read, 1)


def _labelled(fields: dict, read: Callable[[dict], Conversation], turns: int) -> LabelledAnswers:
    label = fields.get("label")
    if label not in (True, False):  # 1 and 0 are equal to these
        raise BadRecord('"label" is neither true nor false')
    conversation = read({**fields, "label": None})  # for fine-tuning a false label excludes the record
    begins = len(conversation.messages) - turns
    if not any(message["role"] == "assistant" for message in conversation.messages[begins:]):
        raise BadRecord("the labelled turn is not the assistant's")
    return LabelledAnswers((replace(conversation, trained_from=begins),), (bool(label),))


def from_preference(fields: dict, read: Callable[[dict], object]) -> LabelledAnswers:
    """The answers of the pairs that `read` finds. Raises BadRecord."""
    conversations = tuple(read(fields).conversations)
    return LabelledAnswers(conversations, (True, False) * (len(conversations) // 2))


UNPAIRED = RecordKind(
    "unpaired",
    "an answer that is good or bad, for train_dpo.py --loss_type kto",
    (
        Format(
            "prompt/completion/label",
            '{"prompt": "...", "completion": "...", "label": true}',
            frozenset({"prompt", "completion", "label"}),
            from_labelled,
        ),
        Format(
            "prompt/response/label",
            '{"prompt": "...", "response": "...", "label": true}',
            frozenset({"prompt", "response", "label"}),
            partial(from_labelled, answer="response"),
        ),
        Format(
            "messages/label",
            '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", ...}], "label": true}',
            frozenset({"messages", "label"}),
            partial(from_labelled_chat, read=partial(from_conversations, key="messages")),
            partial(has_roles, key="messages"),
        ),
        Format(
            "conversations/label",
            '{"conversations": [{"role": "user", "content": "..."}, {"role": "assistant", ...}], "label": true}',
            frozenset({"conversations", "label"}),
            partial(from_labelled_chat, read=from_conversations),
            has_roles,
        ),
        Format(
            "sharegpt/label",
            '{"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", ...}], "label": true}',
            frozenset({"conversations", "label"}),
            partial(from_labelled_chat, read=from_sharegpt),
            is_sharegpt,
        ),
    ),
)

# Two answers are more than a label: a file of pairs may have such a column besides.
PAIRS_TAKEN_APART = tuple(replace(one, read=partial(from_preference, read=one.read)) for one in PREFERENCE.formats)
UNPAIRED_OR_PAIRS = replace(UNPAIRED, formats=(*PAIRS_TAKEN_APART, *UNPAIRED.formats))
