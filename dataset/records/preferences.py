"""From a preference record of any format to pairs of conversations: one whose answer is better, one whose is worse.

The two begin alike; what they share is the prompt, and only what follows it is trained or compared.
"""

import itertools
from dataclasses import dataclass, replace

from dataset.records.conversations import Conversation, from_conversations
from dataset.records.formats import BadRecord, Format, RecordKind, clean_string, finite_number


@dataclass(frozen=True)
class Pair:
    """Two conversations that begin with the same messages and part where `trained_from` of both says."""

    chosen: Conversation
    rejected: Conversation
    margin: float = 0.0  # by how much the chosen answer should be better, in units of the reward


@dataclass(frozen=True)
class Preference:
    """What one record says: a pair, or all pairs of different ranks that its ranked answers make."""

    pairs: tuple[Pair, ...]

    @property
    def conversations(self) -> list[Conversation]:
        """Chosen and rejected of every pair, in order."""
        return [conversation for pair in self.pairs for conversation in (pair.chosen, pair.rejected)]

    @property
    def labels(self) -> list[float]:
        """The margin of every pair."""
        return [pair.margin for pair in self.pairs]

    @property
    def characters(self) -> int:
        return sum(conversation.characters for conversation in self.conversations)

    def to_json(self) -> str:
        """What is preferred to what: equal records give equal text, whatever their format."""
        return "\n".join(f"{pair.chosen.to_json()}\n{pair.rejected.to_json()}\n{pair.margin}\n" for pair in self.pairs)


def from_pair(fields: dict) -> Preference:
    """`{"chosen": [messages], "rejected": [messages]}`, or `prompt` with texts or messages under both.

    With a prompt, messages may be the answer alone or the whole conversation. Raises BadRecord.
    """
    chosen, rejected = (_conversation(fields, key) for key in ("chosen", "rejected"))
    return Preference((_pair(chosen, rejected, finite_number(fields, "margin")),))


def from_ranked(fields: dict) -> Preference:
    """`{"input": "...", "choices": [{"text": "...", "rank": 1}, ...]}`, rank 1 the best. Raises BadRecord."""
    choices = fields.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise BadRecord('"choices" is not a list of JSON objects')
    asked = clean_string(fields, "input")
    ranked = []
    for choice in choices:
        choice = {key.lower(): value for key, value in choice.items()}
        if not isinstance(choice.get("rank"), int | float) or isinstance(choice["rank"], bool):
            raise BadRecord('the "rank" of a choice is not a number')
        conversation = _conversation({**fields, "prompt": asked, "text": clean_string(choice, "text")}, "text")
        ranked.append((finite_number(choice, "rank"), conversation))
    pairs = [
        _pair(*((one, other) if rank < below else (other, one)), finite_number(fields, "margin"))
        for (rank, one), (below, other) in itertools.combinations(ranked, 2)
        if rank != below
    ]
    if not pairs:
        raise BadRecord("no two choices have different ranks")
    return Preference(tuple(pairs))


def _conversation(fields: dict, key: str) -> Conversation:
    """The prompt, if there is one, with the answer under `key`."""
    prompt, answer = fields.get("prompt"), fields.get(key)
    if not isinstance(answer, list):
        answer = [{"role": "assistant", "content": clean_string(fields, key)}]
        if prompt is None:
            raise BadRecord('the key "prompt" is missing')
    is_whole = bool(answer) and isinstance(answer[0], dict) and answer[0].get("role") != "assistant"
    if prompt is None or is_whole:
        messages = answer
    elif isinstance(prompt, list):
        messages = [*prompt, *answer]
    else:
        messages = [{"role": "user", "content": clean_string(fields, "prompt")}, *answer]
    return from_conversations({**fields, "messages": messages}, key="messages")


def _pair(chosen: Conversation, rejected: Conversation, margin: float) -> Pair:
    shared = 0
    for one, other in zip(chosen.messages, rejected.messages):
        if one != other:
            break
        shared += 1
    answers = chosen.messages[shared:], rejected.messages[shared:]
    if not any(answers):
        raise BadRecord('"chosen" and "rejected" are the same')
    if shared == 0:
        raise BadRecord('"chosen" and "rejected" have no prompt in common')
    if not all(any(message["role"] == "assistant" for message in answer) for answer in answers):
        raise BadRecord("behind the common prompt no turn is the assistant's")
    return Pair(replace(chosen, trained_from=shared), replace(rejected, trained_from=shared), margin)


PAIR_OF_CHATS = (
    '{"chosen": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}], "rejected": [...]}'
)

PREFERENCE = RecordKind(
    "preference",
    "a preference between answers, which train_dpo.py and train_reward.py learn from",
    (
        Format(
            "prompt/chosen/rejected",
            '{"prompt": "...", "chosen": "...", "rejected": "..."}',
            frozenset({"prompt", "chosen", "rejected"}),
            from_pair,
        ),
        Format("chosen/rejected", PAIR_OF_CHATS, frozenset({"chosen", "rejected"}), from_pair),
        Format(
            "ranked choices",
            '{"input": "...", "choices": [{"text": "...", "rank": 1}, ...]}',
            frozenset({"input", "choices"}),
            from_ranked,
        ),
    ),
)
