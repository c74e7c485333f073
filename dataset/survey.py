"""What is in a data file: one pass over it counts, measures in tokens, and picks a few examples."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dataset.cache.examples import Prepared
from dataset.records.chat_formats import CHAT
from dataset.records.conversations import Conversation
from dataset.records.documents import detect_format, read_documents
from dataset.records.formats import TEXT, BadLine, Format
from dataset.records.kinds import find_kind, unknown_shape
from dataset.records.odd_lines import UNKNOWN, another_file
from dataset.records.preferences import PREFERENCE
from dataset.records.prompts import PROMPT, PROMPT_OR_CHAT, is_left_blank
from dataset.records.reading import bar_over, check_file, size_of
from dataset.records.scored import SCORED
from dataset.records.unpaired import UNPAIRED
from dataset.records.unread import unread_keys
from dataset.rendering import ChatRenderer, Rendered, cut_length
from dataset.rows.packing import pack
from model.errors import SproutError
from model.text.tokenizer import Tokenizer, text_batches

# The first that fits a record is what it is taken for; but a label of true or false is the point of what has one.
KINDS = (PREFERENCE, TEXT, CHAT, SCORED, UNPAIRED, PROMPT)
NAMES = tuple(kind.name for kind in KINDS)


@dataclass(frozen=True)
class Part:
    """A conversation or a text as tokens. `kept` of them are left where rows are `max_seq_len` long."""

    ids: np.ndarray  # int32 [n]
    trained: np.ndarray  # bool [n]
    kept: int


@dataclass(frozen=True)
class Example:
    """One record: its parts (chosen and rejected of a pair; else one), and its label, if it has one."""

    line: int
    parts: tuple[Part, ...]
    label: float | None = None


@dataclass
class Survey:
    """What was found; arrays have one entry for each record that can be used. A pair is one record."""

    path: Path
    max_seq_len: int | None  # None becomes that of the stage which reads this kind
    kind: str = ""  # one of `NAMES`
    format: Format | None = None
    also: tuple[str, ...] = ()  # the other kinds that the first record could be taken for
    bad: Counter[str] = field(default_factory=Counter)  # lines that cannot be used, by reason
    first_bad: dict[str, BadLine] = field(default_factory=dict)  # the first of each reason
    examples: list[Example] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)  # keys of the first records that are not read
    answers: int = 0  # turns of the assistant
    bytes: int = 0  # UTF-8 bytes of texts
    tokens: int = 0  # of all parts
    trained: int = 0  # tokens of conversations that are trained
    trained_kept: int = 0  # those left where rows are `max_seq_len` long
    after_turn: int = 0  # conversations cut behind a turn
    inside_turn: int = 0  # conversations cut within the first turn that is trained
    alike: int = 0  # pairs of which nothing tells the two answers apart, once they are cut
    excluded: int = 0  # records with a conversation of which their own marks exclude everything
    too_long: int = 0  # records of which a whole conversation does not fit in a row
    lengths: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # tokens of a record's longest part
    positions: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # those a record takes in rows, or 0
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0))  # of those kinds that have them
    longest_needed: int = 0  # up to the last trained token, of any conversation

    @property
    def records(self) -> int:
        return len(self.lengths)

    @property
    def left_out(self) -> int:
        """The number of records that are in no row: nothing trained is left of a conversation, or too much."""
        return int(np.count_nonzero(self.positions == 0))

    def rows(self) -> tuple[int, float]:
        """How many rows the records fill, and the share of their positions that is left empty."""
        if self.kind == "text":  # documents end to end; the first token is never predicted
            return -(-(self.tokens - 1) // self.max_seq_len), 0.0
        positions = self.positions[self.positions > 0]
        # Any pair fits into a row, and so do any two answers that have a label: see `rows.pairs` and `rows.answers`.
        length = self.max_seq_len * (2 if self.kind in (PREFERENCE.name, UNPAIRED.name) else 1)
        rows = len(pack(positions, length))
        return rows, 1 - positions.sum(dtype=np.int64) / (rows * length) if rows else 0.0


def survey(
    path: str | Path, tokenizer: Tokenizer, kind: str, max_seq_len: int | None, examples: int, seed: int = 0
) -> Survey:
    """Read a file to its end. `kind` is one of `NAMES`, or "auto": the first of these that fits.

    `examples` records are drawn at random, the same ones for the same file and `seed`. Memory grows by some bytes a
    record. Raises SproutError for a file that cannot be read or has no record that can be used.
    """
    check_file(path)
    found = Survey(Path(path), max_seq_len)
    measure = _Measure(found, tokenizer)
    chosen = _Reservoir(examples, seed)
    for batch in text_batches(_documents(found, kind, measure.prepare), lambda numbered: _characters(numbered[1])):
        lines, documents = zip(*batch)
        for line, records in zip(lines, measure(documents), strict=True):
            for parts, label in records:
                chosen.offer(line, parts, label)
    measure.finish()
    found.examples = chosen.sorted()
    if found.kind and found.kind not in (TEXT.name, PROMPT.name):  # the others of a prompt are columns of rewards
        found.unread = unread_keys(str(path), next(one for one in KINDS if one.name == found.kind))
    if not found.records:
        first = next(iter(found.first_bad.values()), None)
        bad = f"{found.bad.total():,} bad lines: the first is {first}" if first else "it is empty"
        advice = f": {another_file(path)}" if first and first.reason == UNKNOWN else ""
        raise SproutError(f"{path} holds no record that can be used, {bad}{advice}")
    return found


def _documents(found: Survey, kind: str, prepare: Callable[[object], object]) -> Iterator[tuple[int, object]]:
    """What `prepare` makes of every usable record, with its line; notes the format and the other lines in `found`."""
    bar = bar_over(size_of(found.path), f"reading {found.path.name}")

    def read(fields: dict) -> object:
        if found.format is None:
            found.kind, found.format, found.also = _detect(fields, kind)
            found.max_seq_len = found.max_seq_len or (512 if found.kind == TEXT.name else 768)
        return prepare(found.format.read(fields))

    with bar:
        for item in read_documents(found.path, read, lambda position: bar.update(position - bar.n)):
            if isinstance(item, BadLine):
                found.bad[item.reason] += 1
                found.first_bad.setdefault(item.reason, item)
            else:
                yield item.line, item.content


def _detect(fields: dict, kind: str) -> tuple[str, Format, tuple[str, ...]]:
    """The kind and the format of a record, and the names of other kinds that it fits. Raises BadRecord."""
    if kind == PROMPT.name or (kind == "auto" and is_left_blank(fields)):  # as the stages that sample read them
        return PROMPT.name, detect_format(fields, PROMPT_OR_CHAT), ()
    kinds = [one for one in KINDS if kind in (one.name, "auto")]
    fitting = [one for one in kinds if one.find_format(fields) is not None]
    if kind == "auto":
        label = fields.get("label")
        if label not in (True, False):  # any column of that name; 0 and 1 are equal to these
            fitting = [one for one in fitting if one is not UNPAIRED]
        elif isinstance(label, bool) and PREFERENCE not in fitting:
            fitting.sort(key=lambda one: one is not UNPAIRED)
        if len(fitting) > 1:
            fitting = [one for one in fitting if one is not PROMPT]  # any of the others says more
    if (found := find_kind(fields, fitting)) is None:
        raise unknown_shape(fields, [one for one in kinds if one is not PROMPT])
    return found[0].name, found[1], tuple(one.name for one in fitting if one is not found[0])


def _characters(one) -> int:
    return len(one) if isinstance(one, str) else one.document.characters


Measured = list[tuple[tuple[Part, ...], float | None]]  # the parts and the label of each record in a line


class _Measure:
    """Turns documents into tokens and adds what it finds to a survey."""

    def __init__(self, found: Survey, tokenizer: Tokenizer):
        self._found, self._tokenizer = found, tokenizer
        self._renderer = ChatRenderer(tokenizer)
        self._lengths: list[int] = []
        self._positions: list[int] = []
        self._labels: list[float] = []

    def prepare(self, document):
        """A text, or a document with the text of its conversations or of its prompt. Raises `BadRecord`."""
        if isinstance(document, str):
            return document
        if self._found.kind == PROMPT.name:
            return Prepared(document, [self._renderer.prompt_spans(document.conversation)])
        return Prepared(document, [self._renderer.spans(one) for one in document.conversations])

    def __call__(self, documents: tuple) -> Iterator[Measured]:
        """The records of each document, as `prepare` left it."""
        how = {TEXT.name: self._texts, PROMPT.name: self._prompts}.get(self._found.kind, self._conversations)
        return how(documents)

    def finish(self) -> None:
        self._found.lengths = np.array(self._lengths, np.int32)
        self._found.positions = np.array(self._positions, np.int32)
        self._found.labels = np.array(self._labels)

    def _texts(self, texts: tuple[str, ...]) -> Iterator[Measured]:
        for text, ids in zip(texts, self._tokenizer.encode_batch(texts)):
            self._found.bytes += len(text.encode("utf-8"))
            yield self._untrained([self._tokenizer.bos_id, *ids, self._tokenizer.eos_id])

    def _prompts(self, prompts: tuple[Prepared, ...]) -> Iterator[Measured]:
        for rendered in self._renderer.encode([spans for one in prompts for spans in one.spans]):
            yield self._untrained(rendered.ids.tolist())

    def _untrained(self, ids: list[int]) -> Measured:
        self._found.tokens += len(ids)
        self._lengths.append(len(ids))
        self._positions.append(len(ids))
        return [((Part(np.array(ids), np.zeros(len(ids), bool), len(ids)),), None)]

    def _conversations(self, documents: tuple[Prepared, ...]) -> Iterator[Measured]:
        of_record = 2 if self._found.kind == PREFERENCE.name else 1
        rendered = iter(self._renderer.encode([spans for one in documents for spans in one.spans]))
        for document in (one.document for one in documents):
            records, conversations = [], document.conversations
            labels = document.labels or [None] * (len(conversations) // of_record)
            for number, label in enumerate(labels):
                here = conversations[of_record * number : of_record * (number + 1)]
                records.append((self._record(here, [next(rendered) for _ in here]), label))
                self._labels += [] if label is None else [label]
            yield records

    def _record(self, conversations: Sequence[Conversation], rendered: list[Rendered]) -> tuple[Part, ...]:
        """What becomes of a record, counted as `rows.packed` does."""
        found, end_id = self._found, self._renderer.end_id
        needed = [cut_length(one.ids, one.trained, len(one.ids), end_id) for one in rendered]
        is_whole = 0 < min(needed) and max(needed) <= found.max_seq_len  # a reward is read at the end of an answer
        if found.kind == SCORED.name:
            kept = needed if is_whole else [0] * len(needed)
        else:  # a row of n positions predicts the n tokens behind the first of n + 1
            kept = [cut_length(one.ids, one.trained, found.max_seq_len + 1, end_id) for one in rendered]
        for one, length, full in zip(rendered, kept, needed):
            if 0 < length < full:
                at_end = one.ids[length - 1] == end_id
                found.after_turn += int(at_end)
                found.inside_turn += int(not at_end)
        found.excluded += int(min(needed) == 0)
        found.too_long += int(max(needed) > found.max_seq_len and min(needed) > 0)
        if not all(kept):
            kept = [0] * len(kept)
        elif len(kept) == 2 and np.array_equal(*(one.ids[:length] for one, length in zip(rendered, kept))):
            found.alike += 1
            kept = [0, 0]
        for conversation, one, length in zip(conversations, rendered, kept):
            found.answers += sum(turn["role"] == "assistant" for turn in conversation.messages)
            found.tokens += len(one.ids)
            found.trained += int(np.count_nonzero(one.trained))
            found.trained_kept += int(np.count_nonzero(one.trained[:length]))
        found.longest_needed = max(found.longest_needed, *needed)
        self._lengths.append(max(len(one.ids) for one in rendered))
        apart = 0 if found.kind == SCORED.name else 1
        self._positions.append(sum(length - apart for length in kept) if any(kept) else 0)
        return tuple(
            Part(one.ids, one.trained, length if length < full else len(one.ids))
            for one, length, full in zip(rendered, kept, needed)
        )


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
