"""Prompts in a token cache: the ids of each up to where its answer begins, and the record as rewards see it.

train.bin             the ids of all prompts, end to end, two or four bytes a token
train.offsets.bin     the place of each prompt's first token, and that behind the last prompt: 8 bytes each
train.records.bin     a JSON object for each prompt: {"messages": ..., "tools": ..., "columns": ...}, end to end
train.places.bin      where each of these begins, as offsets
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from dataset.cache.arrays import SummedFile, map_array, token_dtype
from dataset.cache.examples import OFFSET, ExampleEncoder, Prepared, StreamOfFiles, WriterOfFiles
from dataset.cache.texts import Cache
from dataset.records.prompts import PROMPT_OR_CHAT, Prompt
from model.errors import SproutError

BYTE = "|u1"


@dataclass(frozen=True)
class PromptSize:
    """What a stream holds: `bytes` are those of the records."""

    documents: int = 0
    tokens: int = 0
    bytes: int = 0
    seals: tuple[tuple[int, int], ...] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class StoredPrompt:
    """A prompt: its ids, then what its record says."""

    ids: list[int]
    messages: list[dict]
    tools: list[dict]
    columns: dict


@dataclass(frozen=True)
class PromptStream(StreamOfFiles):
    """A finished stream: where it is and what it holds."""

    path: Path
    dtype: str
    size: PromptSize
    _checked: list = field(default_factory=list, repr=False, compare=False)

    def lengths(self) -> np.ndarray:
        """Tokens of each prompt, int64 [prompts]."""
        return np.diff(self._map(1))

    def read(self, numbers: Sequence[int]) -> list[StoredPrompt]:
        """The prompts of these numbers."""
        ids, offsets, records, places = map(self._map, range(4))
        if offsets[-1] != len(ids) or places[-1] != len(records):
            raise SproutError(f"{self.path.parent} is damaged: its offsets contradict each other; delete this folder")
        found = []
        for number in numbers:
            record = json.loads(records[places[number] : places[number + 1]].tobytes())
            found.append(StoredPrompt(ids[offsets[number] : offsets[number + 1]].tolist(), **record))
        return found

    def _map(self, which: int) -> np.ndarray:
        self._check_seals()
        return map_array(*self._arrays()[which])

    def _arrays(self) -> list[tuple[Path, str, int]]:
        size = self.size
        lengths = (size.tokens, size.documents + 1, size.bytes, size.documents + 1)
        return list(zip(_paths(self.path), (self.dtype, OFFSET, BYTE, OFFSET), lengths))


def _paths(path: Path) -> list[Path]:
    return [path, *(path.with_suffix(f".{name}.bin") for name in ("offsets", "records", "places"))]


class PromptWriter(WriterOfFiles):
    """Writes a stream prompt by prompt."""

    def __init__(self, path: Path, dtype: str):
        self._dtype = np.dtype(dtype)
        self._files = [SummedFile(one) for one in _paths(path)]
        self._ids, self._offsets, self._records, self._places = self._files
        for file in (self._offsets, self._places):
            file.write(np.array([0], OFFSET).tobytes())
        self.size = PromptSize()

    def add(self, ids: list[int], record: bytes) -> None:
        size = self.size
        self.size = PromptSize(size.documents + 1, size.tokens + len(ids), size.bytes + len(record))
        self._ids.write(np.array(ids, self._dtype).tobytes())
        self._offsets.write(np.array([self.size.tokens], OFFSET).tobytes())
        self._records.write(record)
        self._places.write(np.array([self.size.bytes], OFFSET).tobytes())


class PromptEncoder(ExampleEncoder):
    """From prompts to what a `PromptWriter` takes."""

    def prepare(self, document: Prompt) -> Prepared:
        return Prepared(document, [self._renderer.prompt_spans(document.conversation)])

    def text_bytes(self, one: Prepared) -> int:
        return sum(len(message["content"].encode()) for message in one.document.conversation.messages)

    def framing(self, one: Prepared) -> int:
        return self._framing * (1 + len(one.document.conversation.messages))

    def encode(self, documents: Sequence[Prepared]) -> list[tuple[list[int], bytes]]:
        """(the ids of the prompt and the header of the answer, the record) of each prompt."""
        rendered = self._renderer.encode([spans for one in documents for spans in one.spans])
        return [(ids.ids.tolist(), _record(one.document)) for ids, one in zip(rendered, documents, strict=True)]

    def writer(self, folder: Path, name: str) -> PromptWriter:
        return PromptWriter(folder / f"{name}.bin", token_dtype(self.tokenizer.vocab_size))


def _record(prompt: Prompt) -> bytes:
    """What rewards see of a prompt, as a line of JSON."""
    said = {"messages": prompt.conversation.messages, "tools": prompt.conversation.tools, "columns": prompt.columns}
    return json.dumps(said, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class PromptCache(Cache):
    """The prompts of a file."""

    train: PromptStream
    validation: PromptStream

    RECORDS: ClassVar = PROMPT_OR_CHAT

    @staticmethod
    def stream(folder: Path, name: str, dtype: str, size: dict) -> PromptStream:
        return PromptStream(folder / f"{name}.bin", dtype, PromptSize(**size))

    @classmethod
    def encoder(cls, tokenizer) -> PromptEncoder:
        return PromptEncoder(tokenizer, cls.RECORDS, None)

    def contents(self) -> str:
        count = self.train.size.documents + self.validation.size.documents
        held_out = self.validation.size.documents
        return f"{count:,} prompts, {self.tokens:,} tokens, held out {held_out:,} prompts"
