"""Every text in some files, whatever the format of their records: what a tokenizer learns from."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from dataset.command_line import Source, parse_sources
from dataset.records.bad_lines import BadLines
from dataset.records.chat_formats import CHAT
from dataset.records.documents import read_documents
from dataset.records.formats import TEXT, BadLine, BadRecord, clean_string
from dataset.records.kinds import unknown_shape
from dataset.records.odd_lines import NO_TEXT
from dataset.records.reading import bar_over, size_of
from dataset.records.turns import as_turns
from model.errors import SproutError, UsageError, counted

# The keys whose strings are text, in all formats and at any depth; strings under others (`role`, `id`) are not.
TEXT_KEYS = frozenset(
    "text content value instruction input context output prompt completion response question query problem answer"
    " history system system_prompt human assistant chosen rejected rejected_response reasoning_content reasoning"
    " thinking tools functions tool_calls".split()
)
# Where turns may stand as JSON text, as in a table.
TURNS_KEYS = frozenset(
    "conversations messages conversation prompt completion response chosen rejected rejected_response rejected_messages"
    " input preferred_output non_preferred_output".split()
)

MOST_TIMES = 1000  # that a document may count; learning from one more often than that would take days


def texts_of(value, key: str = "") -> Iterator[str]:
    """The non-blank texts of a record, however deep. Raises BadRecord for a string that is not text."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from texts_of(inner, name.lower())
    elif isinstance(value, list):
        for inner in value:
            yield from texts_of(inner, key)
    elif isinstance(value, str) and key in TURNS_KEYS and (turns := as_turns(value)):
        yield from texts_of(turns, key)
    elif isinstance(value, str) and key in TEXT_KEYS and value.strip():
        yield clean_string({key: value}, key)


def texts_of_record(fields: dict) -> list[str]:
    """The texts of a record. Raises BadRecord if there is none."""
    texts = list(texts_of(fields))
    if not texts:
        raise BadRecord(NO_TEXT, unknown_shape(fields, (TEXT, CHAT)).detail)
    return texts


def whole_sources(flag: str, items: Sequence[str | Path]) -> list[Source]:
    """`parse_sources` for a flag whose files count whole. Raises `UsageError` for one with a share."""
    sources = parse_sources(items)
    if any(source.weight is not None for source in sources):
        raise UsageError(f"{flag} takes no share: give each file without one, for all of it counts")
    return sources


class Corpus:
    """The texts of several files, to be gone through as often as needed; memory does not grow with them.

    The weight of a source is the share of its documents that `sample` takes: 0.1 every tenth, 2 each twice.
    Creating one reads everything once, to count and to find bad lines. With `on_bad_line="stop"` the first
    raises SproutError; with "skip" they are counted in `bad_lines` and listed in the file `bad_lines_path`.
    A weight beyond `MOST_TIMES` raises UsageError, and so does one that takes none of a file's documents, and a source
    that is the file of bad lines.
    """

    def __init__(self, sources: Sequence[Source], on_bad_line: str, bad_lines_path: str | Path):
        for source in sources:
            if os.path.exists(bad_lines_path) and os.path.samefile(source.path, bad_lines_path):
                raise UsageError(f"{source.path} is where bad lines would be listed: choose another --out_dir")
            if _weight(source) > MOST_TIMES:
                raise UsageError(
                    f"{source.path}: a weight of {source.weight:g} is more than {MOST_TIMES:,} times: give less"
                )
        self.sources = list(sources)
        self.documents: list[int] = []  # in each source
        self.bytes: list[int] = []  # UTF-8 bytes of text in each source
        self.bad_lines_path = Path(bad_lines_path)
        with closing(BadLines(on_bad_line, bad_lines_path)) as bad_lines:
            for source in self.sources:
                documents, size = self._survey(source, bad_lines)
                if not documents:
                    raise SproutError(f"{source.path} holds no text ({bad_lines.counts.total():,} bad lines so far).")
                if not _whole(documents * _weight(source)):
                    asked = f"{source.path}:{source.weight:g}"
                    raise UsageError(f"{asked} takes less than one document of {documents:,}: give a larger share")
                self.documents.append(documents)
                self.bytes.append(size)
        self.bad_lines = bad_lines.counts

    def left_out(self) -> str:
        """How many bad lines there are, in words."""
        return counted(f"left out {self.bad_lines.total():,} bad lines, listed in {self.bad_lines_path}")

    def _survey(self, source: Source, bad_lines: BadLines) -> tuple[int, int]:
        """Documents and bytes of a file."""
        documents = size = 0
        for item in self._read(source, "counting"):
            if isinstance(item, BadLine):
                bad_lines.add(item)
            else:
                documents += 1
                size += sum(len(text.encode("utf-8")) for text in item)
        return documents, size

    def _read(self, source: Source, doing: str) -> Iterator[list[str] | BadLine]:
        """The texts of each record in order, with a progress bar over the file's bytes."""
        bar = bar_over(size_of(source.path), f"{doing} {source.path.name}")
        with closing(bar):
            for item in read_documents(source.path, texts_of_record, lambda position: bar.update(position - bar.n)):
                yield item if isinstance(item, BadLine) else item.content

    def texts(self, doing: str, max_bytes: int | None = None) -> Iterator[str]:
        """Every text once, or of about `max_bytes` the evenly spread documents; `doing` is said in the progress bar.

        There is at least one document, however long.
        """
        share = min(1.0, max_bytes / sum(self.bytes)) if max_bytes else 1.0
        share = max(share, 1 / sum(self.documents))
        yield from self._spread(doing, [share] * len(self.sources))

    def share(self, max_bytes: int) -> float:
        """What all weights are multiplied by, so that `sample` gives about `max_bytes` or less; at most 1."""
        wanted = sum(size * _weight(source) for source, size in zip(self.sources, self.bytes))
        return min(1.0, max_bytes / wanted)

    def taken(self, max_bytes: int) -> float:
        """The share of the documents, each as often as its weight says, that `sample` gives: whole documents."""
        wanted = sum(count * _weight(source) for source, count in zip(self.sources, self.documents))
        return _whole(wanted * self.share(max_bytes)) / _whole(wanted)

    def sample(self, max_bytes: int) -> Iterator[str]:
        """The texts of the share of documents that the weights and `max_bytes` ask for, evenly spread.

        Raises `SproutError` if that is none: each document is longer than what may be taken.
        """
        if not self.taken(max_bytes):
            raise SproutError(
                f"{max_bytes / 1e6:,.2f} MB of this text is less than one document, so nothing would be learnt:"
                " give a larger --sample_mb, or a file of shorter documents"
            )
        share = self.share(max_bytes)
        yield from self._spread("learning from", [share * _weight(source) for source in self.sources])

    def _spread(self, doing: str, rates: Sequence[float]) -> Iterator[str]:
        """The texts of every document as often as the rate of its source says: 0.1 is every tenth, 2 each twice.

        What is left of a document at the end of a file counts in the next: many files may hold one document each.
        """
        due = 0.0
        for source, rate in zip(self.sources, rates, strict=True):
            index = 0  # of the next document in this file
            for item in self._read(source, doing):
                if isinstance(item, BadLine):
                    continue
                for _ in range(_whole(due + (index + 1) * rate) - _whole(due + index * rate)):
                    yield from item
                index += 1
            due = (due + index * rate) - _whole(due + index * rate)


def _whole(number: float) -> int:
    """How many whole documents that is: 28.999999999999996, which is 100 times 0.29, is 29."""
    return int(number + 1e-9)


def _weight(source: Source) -> float:
    return 1.0 if source.weight is None else source.weight
