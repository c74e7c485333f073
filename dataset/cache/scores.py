"""The cache of a file of scored answers: each conversation as an example, and its score."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dataset.cache.chats import ChatEncoder
from dataset.cache.examples import ExampleSize
from dataset.cache.labels import LabelledStream, LabelledWriter
from dataset.cache.streams import token_dtype
from dataset.cache.texts import Cache
from dataset.records.scored import ScoredAnswer


@dataclass(frozen=True)
class ScoreStream(LabelledStream):
    """Each example is a record, whose label is its score."""

    EXAMPLES: ClassVar = 1
    LABEL: ClassVar = "scores"


class ScoreWriter(LabelledWriter):
    """Writes a stream record by record."""

    stream = ScoreStream


@dataclass(frozen=True)
class ScoreCache(Cache):
    """The scored answers of a file; `end_id` ends a turn."""

    train: ScoreStream
    validation: ScoreStream
    end_id: int

    FACTS: ClassVar = (*Cache.FACTS, "end_id")

    @staticmethod
    def stream(folder: Path, name: str, dtype: str, size: dict) -> ScoreStream:
        return ScoreStream(folder / f"{name}.bin", dtype, ExampleSize(**size))

    @staticmethod
    def encoder(tokenizer) -> "ScoreEncoder":
        return ScoreEncoder(tokenizer)

    @property
    def tokens(self) -> int:
        return self.train.size.tokens + self.validation.size.tokens

    def contents(self) -> str:
        answers = self.train.records + self.validation.records
        return f"{answers:,} scored answers, {self.tokens:,} tokens, held out {self.validation.records:,} answers"


class ScoreEncoder:
    """Scored answers to what a `ScoreWriter` takes."""

    kind = "scored"

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self._chats = ChatEncoder(tokenizer)
        self.version = self._chats.version

    def content(self, answer: ScoredAnswer) -> bytes:
        return answer.to_json().encode("utf-8")

    def characters(self, answer: ScoredAnswer) -> int:
        return answer.characters

    def text_bytes(self, answer: ScoredAnswer) -> int:
        return self._chats.text_bytes(answer.conversation)

    def framing(self, answer: ScoredAnswer) -> int:
        return self._chats.framing(answer.conversation)

    def encode(self, answers: Sequence[ScoredAnswer]) -> list[tuple]:
        encoded = self._chats.encode([answer.conversation for answer in answers])
        return [((example,), answer.score) for example, answer in zip(encoded, answers, strict=True)]

    def writer(self, folder: Path, name: str) -> ScoreWriter:
        return ScoreWriter(folder / f"{name}.bin", token_dtype(self.tokenizer.vocab_size))
