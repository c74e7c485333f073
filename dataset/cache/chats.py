"""The cache of a chat file: every conversation as token ids with its trained tokens marked, whatever the row length."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from dataset.cache.examples import ExampleSize, ExampleStream, ExampleWriter
from dataset.cache.streams import token_dtype
from dataset.cache.texts import Cache
from dataset.records.conversations import Conversation
from dataset.rendering import VERSION, ChatRenderer
from dataset.rows.packing import cut_length
from model.text.chat_template import CHAT_TEMPLATE


@dataclass(frozen=True)
class ChatCache(Cache):
    """The conversations of a chat file, one example each; `end_id` ends a turn."""

    train: ExampleStream
    validation: ExampleStream
    end_id: int

    FACTS: ClassVar = (*Cache.FACTS, "end_id")

    @staticmethod
    def stream(folder: Path, name: str, dtype: str, size: dict) -> ExampleStream:
        return ExampleStream(folder / f"{name}.bin", dtype, ExampleSize(**size))

    @staticmethod
    def encoder(tokenizer) -> "ChatEncoder":
        return ChatEncoder(tokenizer)

    @property
    def conversations(self) -> int:
        return self.train.size.documents + self.validation.size.documents

    @property
    def tokens(self) -> int:
        """All tokens up to the last trained one of each conversation."""
        return self.train.size.tokens + self.validation.size.tokens

    @property
    def trained(self) -> int:
        """Those of `tokens` that are trained."""
        return self.train.size.trained + self.validation.size.trained

    def contents(self) -> str:
        held_out = self.validation.size
        return (
            f"{self.conversations:,} conversations, {self.tokens:,} tokens "
            f"({self.trained / max(self.tokens, 1):.1%} of them trained), held out "
            f"{held_out.documents:,} conversations, {held_out.tokens:,} tokens"
        )


class ChatEncoder:
    """Conversations to what an `ExampleWriter` takes."""

    kind = "chat"

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self._renderer = ChatRenderer(tokenizer)
        self._framing = len(self._renderer.prompt([])) + 2  # a header, the end of the turn and of the line
        template = hashlib.sha256(CHAT_TEMPLATE.encode("utf-8")).hexdigest()
        self.version = {"rendering": VERSION, "chat_template": template, "end_id": self._renderer.end_id}

    def content(self, conversation: Conversation) -> bytes:
        return conversation.to_json().encode("utf-8")

    def characters(self, conversation: Conversation) -> int:
        return conversation.characters

    def text_bytes(self, conversation: Conversation) -> int:
        """Of what is said and of what may be called."""
        said = [text for message in conversation.messages for key, text in message.items() if key != "role"]
        texts = [
            one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in [*said, *conversation.tools]
        ]
        return sum(len(text.encode("utf-8")) for text in texts)

    def framing(self, conversation: Conversation) -> int:
        return self._framing * len(conversation.messages)

    def encode(self, conversations: Sequence[Conversation]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Ids and trained flags of each, up to the last trained token: what follows it teaches nothing."""
        examples = []
        for one in self._renderer.render(conversations):
            kept = cut_length(one.ids, one.trained, len(one.ids), self._renderer.end_id)
            examples.append((one.ids[:kept], one.trained[:kept]))
        return examples

    def writer(self, folder: Path, name: str) -> ExampleWriter:
        return ExampleWriter(folder / f"{name}.bin", token_dtype(self.tokenizer.vocab_size))
