"""`--first_turn`: of each conversation only the first question and what the assistant makes of it."""

from collections.abc import Sequence
from dataclasses import replace

from dataset.cache.examples import ExampleEncoder, Prepared
from dataset.records.conversations import Conversation
from dataset.rows.chats import CHATS, ChatCache


def first_turn(conversation: Conversation) -> Conversation:
    """The conversation up to the second message of the user; itself where there is none."""
    users = [place for place, message in enumerate(conversation.messages) if message["role"] == "user"]
    return conversation if len(users) < 2 else replace(conversation, messages=conversation.messages[: users[1]])


class FirstTurnEncoder(ExampleEncoder):
    """Shortens conversations before it encodes them. The label of one is 1 if something was left out, else 0."""

    def version(self) -> dict:
        return super().version() | {"first_turn": True}

    def prepare(self, document: Conversation) -> Prepared:
        return Prepared(document, super().prepare(first_turn(document)).spans)

    def encode(self, documents: Sequence[Prepared]) -> list[tuple[list, Sequence[float]]]:
        shorter = [float(first_turn(one.document) is not one.document) for one in documents]
        return [(examples, [label]) for (examples, _), label in zip(super().encode(documents), shorter)]


class FirstTurnCache(ChatCache):
    """The first turns of a chat file."""

    LABEL = "shortened"

    @classmethod
    def encoder(cls, tokenizer) -> FirstTurnEncoder:
        return FirstTurnEncoder(tokenizer, cls.RECORDS, cls.LABEL)

    def contents(self) -> str:
        shortened = sum(int(stream.labels().sum()) for stream in (self.train, self.validation) if stream.records)
        return f"{super().contents()}; --first_turn left out what follows the first answer in {shortened:,} of them"


FIRST_TURNS = replace(CHATS, cache=FirstTurnCache)
