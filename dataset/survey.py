"""What is in a data file: one pass over it counts, measures in tokens, and picks a few examples."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dataset.records.conversations import CHAT, Conversation
from dataset.records.documents import read_documents
from dataset.records.formats import TEXT, BadLine, Format
from dataset.records.kinds import find_kind, unknown_shape
from dataset.records.reading import bar_over, check_file, size_of
from dataset.rendering import ChatRenderer, cut_length
from dataset.rows.packing import pack
from model.errors import SproutError
from model.text.tokenizer import Tokenizer, text_batches


@dataclass(frozen=True)
class Example:
    """One record as tokens. `kept` of them are left where rows are `max_seq_len` long."""

    line: int
    ids: np.ndarray  # int32 [n]
    trained: np.ndarray  # bool [n]
    kept: int


@dataclass
class Survey:
    """What was found; arrays have one entry for each record that can be used."""

    path: Path
    max_seq_len: int
    kind: str = ""  # "text" or "chat"
    format: Format | None = None
    bad: Counter[str] = field(default_factory=Counter)  # lines that cannot be used, by reason
    first_bad: dict[str, BadLine] = field(default_factory=dict)  # the first of each reason
    examples: list[Example] = field(default_factory=list)
    answers: int = 0  # turns of the assistant
    bytes: int = 0  # UTF-8 bytes of texts
    trained: int = 0  # tokens of conversations that are trained
    trained_kept: int = 0  # those left where rows are `max_seq_len` long
    after_turn: int = 0  # conversations cut behind a turn
    inside_turn: int = 0  # conversations cut within the first turn that is trained
    lengths: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # tokens, with BOS and EOS of a text
    kept: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # tokens left of a conversation
    longest_needed: int = 0  # up to the last trained token, of any conversation

    @property
    def records(self) -> int:
        return len(self.lengths)

    @property
    def tokens(self) -> int:
        return int(self.lengths.sum(dtype=np.int64))

    @property
    def left_out(self) -> int:
        """The number of conversations with no trained token left."""
        return int(np.count_nonzero(self.kept == 0))

    def rows(self) -> tuple[int, float]:
        """How many rows the records fill, and the share of their positions that is left empty."""
        if self.kind == "text":  # documents end to end; the first token is never predicted
            return -(-(self.tokens - 1) // self.max_seq_len), 0.0
        positions = self.kept[self.kept > 0] - 1
        rows = len(pack(positions, self.max_seq_len))
        return rows, 1 - positions.sum(dtype=np.int64) / (rows * self.max_seq_len) if rows else 0.0


def survey(path: str | Path, tokenizer: Tokenizer, kind: str, max_seq_len: int, examples: int, seed: int = 0) -> Survey:
    """Read a file to its end. `kind` is "text", "chat", or "auto": the first of these that fits.

    `examples` records are drawn at random, the same ones for the same file and `seed`. Memory grows by some bytes a
    record. Raises SproutError for a file that cannot be read or has no record that can be used.
    """
    check_file(path)
    found = Survey(Path(path), max_seq_len)
    measure = _Measure(found, tokenizer)
    chosen = _Reservoir(examples, seed)
    for batch in text_batches(_documents(found, kind), lambda numbered: _characters(numbered[1])):
        lines, documents = zip(*batch)
        for line, (ids, trained, kept) in zip(lines, measure(documents), strict=True):
            chosen.offer(line, ids, trained, kept)
    measure.finish()
    found.examples = chosen.sorted()
    if not found.records:
        first = next(iter(found.first_bad.values()), None)
        bad = f"{found.bad.total():,} bad lines: the first is {first}" if first else "it is empty"
        raise SproutError(f"{path} holds no record that can be used, {bad}")
    return found


def _documents(found: Survey, kind: str) -> Iterator[tuple[int, str | Conversation]]:
    """Every usable record with its line; notes the format and the other lines in `found`."""
    bar = bar_over(size_of(found.path), f"reading {found.path.name}")

    def read(fields: dict) -> str | Conversation:
        if found.format is None:
            found.kind, found.format = _detect(fields, kind)
        return found.format.read(fields)

    with bar:
        for item in read_documents(found.path, read, lambda position: bar.update(position - bar.n)):
            if isinstance(item, BadLine):
                found.bad[item.reason] += 1
                found.first_bad.setdefault(item.reason, item)
            else:
                yield item.line, item.content


def _detect(fields: dict, kind: str) -> tuple[str, Format]:
    """The kind and the format of a record. Raises BadRecord."""
    kinds = [one for one in (TEXT, CHAT) if kind in (one.name, "auto")]
    if (found := find_kind(fields, kinds)) is not None:
        return found[0].name, found[1]
    raise unknown_shape(fields, kinds)


def _characters(document: str | Conversation) -> int:
    return len(document) if isinstance(document, str) else document.characters


class _Measure:
    """Turns documents into tokens and adds what it finds to a survey."""

    def __init__(self, found: Survey, tokenizer: Tokenizer):
        self._found, self._tokenizer = found, tokenizer
        self._renderer = ChatRenderer(tokenizer)
        self._lengths: list[int] = []
        self._kept: list[int] = []

    def __call__(self, documents: tuple) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        """(ids, trained, how many are kept) of each document."""
        return self._texts(documents) if self._found.kind == "text" else self._chats(documents)

    def finish(self) -> None:
        self._found.lengths = np.array(self._lengths, np.int32)
        self._found.kept = np.array(self._kept, np.int32)

    def _texts(self, texts: tuple[str, ...]) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        for text, ids in zip(texts, self._tokenizer.encode_batch(texts)):
            self._found.bytes += len(text.encode("utf-8"))
            self._lengths.append(len(ids) + 2)
            yield np.array([self._tokenizer.bos_id, *ids, self._tokenizer.eos_id]), np.ones(0, bool), len(ids) + 2

    def _chats(self, conversations: tuple[Conversation, ...]) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        found, end_id = self._found, self._renderer.end_id
        for conversation, rendered in zip(conversations, self._renderer.render(conversations)):
            ids, trained = rendered.ids, rendered.trained
            needed = cut_length(ids, trained, len(ids), end_id)
            # A row of n positions predicts the n tokens behind the first of n + 1.
            kept = cut_length(ids, trained, found.max_seq_len + 1, end_id)
            if 0 < kept < needed:
                at_end = ids[kept - 1] == end_id
                found.after_turn += int(at_end)
                found.inside_turn += int(not at_end)
            found.answers += sum(turn["role"] == "assistant" for turn in conversation.messages)
            found.trained += int(np.count_nonzero(trained))
            found.trained_kept += int(np.count_nonzero(trained[:kept]))
            found.longest_needed = max(found.longest_needed, needed)
            self._lengths.append(len(ids))
            self._kept.append(kept)
            yield ids, trained, kept if kept < needed else len(ids)


class _Reservoir:
    """Some of many, each with the same probability, without knowing how many will come (Vitter 1985, algorithm R)."""

    def __init__(self, size: int, seed: int):
        self._size, self._random = size, random.Random(seed)
        self._seen, self._chosen = 0, []

    def offer(self, *parts) -> None:
        self._seen += 1
        if len(self._chosen) < self._size:
            self._chosen.append(Example(*parts))
        elif (place := self._random.randrange(self._seen)) < self._size:
            self._chosen[place] = Example(*parts)

    def sorted(self) -> list[Example]:
        return sorted(self._chosen, key=lambda example: example.line)
