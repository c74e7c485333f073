"""From a scored record to a conversation and the score of its answer."""

import json
import math
from dataclasses import dataclass

from dataset.records.conversations import Conversation, from_completion
from dataset.records.formats import BadRecord, Format, RecordKind
from dataset.records.marks import without_classes
from dataset.records.numbers import finite_number

LARGEST = 1e6  # the largest score: its square has to stay well within float32


@dataclass(frozen=True)
class ScoredAnswer:
    """A conversation whose last turn is an answer, and how good that is, in whatever unit."""

    conversation: Conversation
    score: float

    @property
    def conversations(self) -> tuple[Conversation]:
        return (self.conversation,)

    @property
    def labels(self) -> tuple[float]:
        return (self.score,)

    @property
    def characters(self) -> int:
        return self.conversation.characters

    def to_json(self) -> str:
        """Equal records give equal text, whatever their format."""
        return f"{self.conversation.to_json()}\n{json.dumps(self.score)}\n"


def from_scored(fields: dict) -> ScoredAnswer:
    """`{"input": "...", "output": "...", "score": 4.5}`, input and output texts or lists of messages; optional
    `system`. Raises BadRecord.
    """
    conversation = from_completion(without_classes(fields), answer="output", prompt="input")
    if conversation.messages[-1]["role"] != "assistant":
        raise BadRecord("the last turn is not the assistant's")
    if fields.get("score") is None:
        raise BadRecord('"score" is not a number')
    score = finite_number(fields, "score")
    if not math.fabs(score) <= LARGEST:
        raise BadRecord(f'"score" is beyond {LARGEST:,.0f}')
    return ScoredAnswer(conversation, score)


SCORED = RecordKind(
    "scored",
    "an answer with a score, for train_reward.py",
    (
        Format(
            "scored",
            '{"input": "...", "output": "...", "score": 4.5}',
            frozenset({"input", "output", "score"}),
            from_scored,
        ),
    ),
)
