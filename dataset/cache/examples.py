"""Conversations in a token cache: their ids, which of them are trained, and where each begins, whatever the row length.

A conversation as tokens is an example. A record is one example (a chat) or several (the chosen and the rejected answer
of a pair), and may have a label, which is a number: the margin of a pair, the score of an answer.

    train.bin             the ids of all examples, end to end, two or four bytes a token
    train.trained.bin     1 where the token is trained, else 0, a byte a token
    train.offsets.bin     the place of each example's first token, and that behind the last example: 8 bytes each
    train.<label>.bin     the label of each record, four bytes each, if records have one

So all kinds of records of conversations are stored by the same code; what differs between them are the class
attributes of a subclass of `ExampleCache`, beside their rows in `dataset/rows/`.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from dataset import rendering
from dataset.cache.arrays import SummedFile, check_seal, has_size, map_array, token_dtype
from dataset.cache.texts import Cache
from dataset.records.conversations import Conversation
from dataset.records.formats import RecordKind
from dataset.rendering import VERSION, ChatRenderer, Rendered, Span
from model.errors import SproutError
from model.text.chat_template import CHAT_TEMPLATE, unmarked

# To be raised with any change of what `dataset/records` make of a record of conversations: it is in the key of a cache,
# so files are tokenised anew. A run that goes on sees that its tokens are the same (`training/engine/changed_data.py`).
READING = 9

FLAG, OFFSET, NUMBER = "|u1", "<i8", "<f4"


@dataclass(frozen=True)
class ExampleSize:
    """What a stream holds. `trained` leaves out the first token of each example, which nothing predicts."""

    documents: int = 0  # examples
    tokens: int = 0
    trained: int = 0
    # The seals of its files, once they are finished; None in caches of earlier versions.
    seals: tuple[tuple[int, int], ...] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Examples:
    """The arrays of a stream, memory-mapped: `examples[i]` is (ids [n], trained [n])."""

    ids: np.ndarray  # unsigned [tokens]
    trained: np.ndarray  # uint8 [tokens]
    offsets: np.ndarray  # int64 [examples + 1]

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        here = slice(self.offsets[index], self.offsets[index + 1])
        return self.ids[here], self.trained[here].astype(bool)


class StreamOfFiles:
    """A finished stream of several files. A subclass says with which arrays, and has `path`, `size` and `_checked`."""

    def is_whole(self) -> bool:
        """Whether the files are there with the sizes they should have."""
        return all(has_size(*array) for array in self._arrays())

    def _check_seals(self) -> None:
        """Raises SproutError for a damaged file; looks only once."""
        if not self._checked:
            for (path, _, _), seal in zip(self._arrays(), self.size.seals or ()):
                check_seal(path, seal)
            self._checked.append(True)

    def _arrays(self) -> list[tuple[Path, str, int]]:
        """Path, type and length of each file."""
        raise NotImplementedError


class WriterOfFiles:
    """Writes such a stream. A subclass has `_files` and `size`."""

    def __enter__(self):
        return self

    def __exit__(self, *exception) -> None:
        for file in self._files:
            file.close()

    def finish(self):
        """Bring everything to the disk and close; returns what was written."""
        return replace(self.size, seals=tuple(file.finish() for file in self._files))


@dataclass(frozen=True)
class ExampleStream(StreamOfFiles):
    """A finished stream: where it is and what it holds.

    path: the file of ids. per_record: record i has the examples from `per_record` * i on. label: the name of the file
    of labels, None where records have none.
    """

    path: Path
    dtype: str
    size: ExampleSize
    per_record: int = 1
    label: str | None = None
    _checked: list = field(default_factory=list, repr=False, compare=False)  # not empty once the seals were looked at

    @property
    def records(self) -> int:
        return self.size.documents // self.per_record

    def map(self) -> Examples:
        """The examples, read-only; checked, and to be released soon, like the array of `texts.TokenStream.map`."""
        self._check_seals()
        return Examples(*(map_array(*array) for array in self._arrays()[:3]))

    def lengths(self) -> np.ndarray:
        """Tokens of each example, int32 [examples]. Raises SproutError where the offsets make no sense."""
        offsets = self.map().offsets
        lengths = np.diff(offsets)
        if offsets[0] != 0 or offsets[-1] != self.size.tokens or lengths.min(initial=0) < 0:
            raise SproutError(f"{self.path.parent} is damaged: its offsets contradict each other; delete this folder")
        return lengths.astype(np.int32)

    def labels(self) -> np.ndarray | None:
        """float32 [records], read-only; None where records have no label."""
        return None if self.label is None else map_array(*self._arrays()[3])

    def _arrays(self) -> list[tuple[Path, str, int]]:
        paths, size = _paths(self.path, self.label), self.size
        types = self.dtype, FLAG, OFFSET, NUMBER
        return list(zip(paths, types, (size.tokens, size.tokens, size.documents + 1, self.records)))


class ExampleWriter(WriterOfFiles):
    """Writes a stream document by document."""

    def __init__(self, path: Path, dtype: str, label: str | None):
        self._dtype = np.dtype(dtype)
        self._files = [SummedFile(one) for one in _paths(path, label)]
        self._ids, self._trained, self._offsets, *self._labels = self._files
        self._offsets.write(np.array([0], OFFSET).tobytes())
        self.size = ExampleSize()

    def add(self, examples: Sequence[tuple[np.ndarray, np.ndarray]], labels: Sequence[float]) -> None:
        """Append the records of a document: their examples, each (integers [n], bool [n]), and their labels."""
        for ids, trained in examples:
            self._ids.write(ids.astype(self._dtype).tobytes())
            self._trained.write(trained.astype(FLAG).tobytes())
            size = self.size
            self.size = ExampleSize(size.documents + 1, size.tokens + len(ids), size.trained + int(trained[1:].sum()))
            self._offsets.write(np.array([self.size.tokens], OFFSET).tobytes())
        for file in self._labels:
            file.write(np.array(labels, NUMBER).tobytes())


def _paths(path: Path, label: str | None) -> list[Path]:
    """The files of a stream whose ids are at `path`."""
    return [path, *(path.with_suffix(f".{name}.bin") for name in ("trained", "offsets", label) if name)]


@dataclass(frozen=True)
class ExampleCache(Cache):
    """A file of records of conversations; a subclass says which. `end_id` ends a turn.

    PER_RECORD: conversations of a record. LABEL: the name of its label, if it has one. BY_PROMPT: whether all answers
    of a prompt are held out, or none; else all copies of a record.
    CONTENTS: what `summary` says is in the file, with {records}, {tokens}, {trained} (a share of the tokens), and,
    for what is held out, {held_records}, {held_tokens}.
    """

    train: ExampleStream
    validation: ExampleStream
    end_id: int
    rendered_by: str | None = None  # `rendering_code` then; None in caches of earlier versions

    FACTS: ClassVar = (*Cache.FACTS, "end_id")
    PER_RECORD: ClassVar[int] = 1
    LABEL: ClassVar[str | None] = None
    BY_PROMPT: ClassVar[bool] = False
    CONTENTS: ClassVar[str]

    @classmethod
    def from_meta(cls, folder: Path, source: Path, meta: dict) -> "ExampleCache":
        return replace(super().from_meta(folder, source, meta), rendered_by=meta.get("rendered_by"))

    @classmethod
    def stream(cls, folder: Path, name: str, dtype: str, size: dict) -> ExampleStream:
        return ExampleStream(folder / f"{name}.bin", dtype, ExampleSize(**size), cls.PER_RECORD, cls.LABEL)

    @classmethod
    def encoder(cls, tokenizer) -> "ExampleEncoder":
        return ExampleEncoder(tokenizer, cls.RECORDS, cls.LABEL, cls.BY_PROMPT)

    def contents(self) -> str:
        trained = self.train.size.trained + self.validation.size.trained
        return self.CONTENTS.format(
            records=self.train.records + self.validation.records,
            tokens=self.tokens,
            trained=trained / max(self.tokens, 1),
            held_records=self.validation.records,
            held_tokens=self.validation.size.tokens,
        )


NO_CODE = re.compile(rb'"{3}[\s\S]*?"{3}|(?<!\S)#.*|\s+')  # docstrings, comments, white space


def rendering_code() -> str:
    """A digest of dataset/rendering.py, which decides ids and masks, without what is no code.

    It is no part of the key of a cache, since most changes of a newer version change neither.
    """
    return hashlib.sha256(NO_CODE.sub(b"", Path(rendering.__file__).read_bytes())).hexdigest()


def warnings_about_edits(caches: Sequence[ExampleCache]) -> list[str]:
    """A warning for each file whose tokens other code made: an edit of the mask would be without effect."""
    now = rendering_code()
    return [
        f"the tokens of {cache.source} were made before dataset/rendering.py changed, and are used as they are: if the"
        " change is one of tokens or masks, raise VERSION there, and they are made again"
        for cache in caches
        if cache.rendered_by not in (None, now)
    ]


class ExampleDocument(Protocol):
    """What a reader makes of a record of conversations."""

    conversations: Sequence[Conversation]  # those of all its records, `PER_RECORD` for each
    labels: Sequence[float]  # one for each record; empty for a kind without labels
    characters: int  # about how many there are to encode

    def to_json(self) -> str:
        """Equal documents give equal text, whatever their format."""


@dataclass(frozen=True)
class Prepared:
    """A document, and the `ChatRenderer.spans` of its conversations: a template may refuse one, which is its line's
    fault, so they are written where lines are read."""

    document: ExampleDocument
    spans: Sequence[list[Span]]


class ExampleEncoder:
    """From documents of conversations to what an `ExampleWriter` takes, as `texts.TextEncoder` does."""

    def __init__(self, tokenizer, kind: RecordKind, label: str | None, by_prompt: bool = False):
        self.tokenizer = tokenizer
        self.kind = kind
        self._label = label
        self._by_prompt = by_prompt
        self._renderer = ChatRenderer(tokenizer)
        self._framing = len(self._renderer.prompt([])) + 2  # a header, the end of the turn and of the line
        template = hashlib.sha256(unmarked(CHAT_TEMPLATE).encode("utf-8")).hexdigest()
        self._version = {"reading": READING, "rendering": VERSION, "chat_template": template}
        self._version |= {"end_id": self._renderer.end_id} | self._renderer.variant
        self._version |= {"held_out": "by prompt"} if by_prompt else {}
        self.more_facts = {"rendered_by": rendering_code()}  # in meta.json, beside what its key covers

    def version(self) -> dict:
        return self._version

    def prepare(self, document: ExampleDocument) -> Prepared:
        """Raises `BadRecord`."""
        return Prepared(document, [self._renderer.spans(one) for one in document.conversations])

    def documents(self, documents):
        return documents

    def contents(self, one: Prepared) -> list[bytes]:
        texts = [one.document.to_json()]
        if self._by_prompt:  # a network that has learned from one answer of a prompt knows something of the others
            texts.append(one.document.conversations[0].prompt_to_json())
        return [text.encode("utf-8") for text in texts]

    def characters(self, one: Prepared) -> int:
        return one.document.characters

    def text_bytes(self, one: Prepared) -> int:
        return sum(map(_bytes_said, one.document.conversations))

    def framing(self, one: Prepared) -> int:
        return self._framing * sum(len(conversation.messages) for conversation in one.document.conversations)

    def encode(self, documents: Sequence[Prepared]) -> list[tuple[list, Sequence[float]]]:
        """(ids and trained flags of each conversation up to its last trained token, labels) of each document."""
        rendered = self._renderer.encode([spans for one in documents for spans in one.spans])
        kept = map(Rendered.without_untrained_end, rendered)
        examples = ((one.ids, one.trained) for one in kept)
        return [([next(examples) for _ in one.spans], one.document.labels) for one in documents]

    def writer(self, folder: Path, name: str) -> ExampleWriter:
        return ExampleWriter(folder / f"{name}.bin", token_dtype(self.tokenizer.vocab_size), self._label)


def _bytes_said(conversation: Conversation) -> int:
    """UTF-8 bytes of what is said and of what may be called."""
    said = [text for message in conversation.messages for key, text in message.items() if key != "role"]
    texts = [
        one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in [*said, *conversation.tools]
    ]
    return sum(len(text.encode("utf-8")) for text in texts)
