"""The cache of a preference file: the two conversations of every pair as examples that follow each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from dataset.cache.chats import ChatEncoder
from dataset.cache.examples import ExampleSize
from dataset.cache.labels import LabelledStream, LabelledWriter
from dataset.cache.streams import token_dtype
from dataset.cache.texts import Cache
from dataset.records.preferences import Preference


@dataclass(frozen=True)
class PairStream(LabelledStream):
    """Examples 2i and 2i + 1 are the chosen and the rejected conversation of pair i, whose label is its margin."""

    EXAMPLES: ClassVar = 2
    LABEL: ClassVar = "margins"

    @property
    def pairs(self) -> int:
        return self.records

    def margins(self) -> np.ndarray:
        """float32 [pairs], read-only."""
        return self.labels()


class PairWriter(LabelledWriter):
    """Writes a stream record by record, each of which may be several pairs."""

    stream = PairStream

    def add(self, pairs: Sequence[tuple]) -> None:
        """Append the pairs of a record: (chosen, rejected, margin), each conversation as (ids [n], trained [n])."""
        for chosen, rejected, margin in pairs:
            super().add((chosen, rejected), margin)


@dataclass(frozen=True)
class PairCache(Cache):
    """The pairs of a preference file; `end_id` ends a turn."""

    train: PairStream
    validation: PairStream
    end_id: int

    FACTS: ClassVar = (*Cache.FACTS, "end_id")

    @staticmethod
    def stream(folder: Path, name: str, dtype: str, size: dict) -> PairStream:
        return PairStream(folder / f"{name}.bin", dtype, ExampleSize(**size))

    @staticmethod
    def encoder(tokenizer) -> "PairEncoder":
        return PairEncoder(tokenizer)

    @property
    def tokens(self) -> int:
        """All tokens of both conversations of each pair."""
        return self.train.size.tokens + self.validation.size.tokens

    def contents(self) -> str:
        trained = self.train.size.trained + self.validation.size.trained
        return (
            f"{self.train.pairs + self.validation.pairs:,} pairs, {self.tokens:,} tokens "
            f"({trained / max(self.tokens, 1):.1%} of them in answers that are compared), held out "
            f"{self.validation.pairs:,} pairs"
        )


class PairEncoder:
    """Preference records to what a `PairWriter` takes."""

    kind = "preference"

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self._chats = ChatEncoder(tokenizer)
        self.version = self._chats.version

    def content(self, preference: Preference) -> bytes:
        return preference.to_json().encode("utf-8")

    def characters(self, preference: Preference) -> int:
        return preference.characters

    def text_bytes(self, preference: Preference) -> int:
        return sum(map(self._chats.text_bytes, preference.conversations))

    def framing(self, preference: Preference) -> int:
        return sum(map(self._chats.framing, preference.conversations))

    def encode(self, preferences: Sequence[Preference]) -> list[tuple]:
        every = [conversation for preference in preferences for conversation in preference.conversations]
        encoded = iter(self._chats.encode(every))
        return [
            ([(next(encoded), next(encoded), pair.margin) for pair in preference.pairs],) for preference in preferences
        ]

    def writer(self, folder: Path, name: str) -> PairWriter:
        return PairWriter(folder / f"{name}.bin", token_dtype(self.tokenizer.vocab_size))
