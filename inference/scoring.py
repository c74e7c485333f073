"""A file of answers under a reward model: the reward of each, and how well the rewards agree with the file."""

import contextlib
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from dataset.records.conversations import Conversation
from dataset.records.documents import Document, FormatReader, read_documents
from dataset.records.fields import BadRecord
from dataset.records.formats import detect_format, unknown_shape
from dataset.records.preferences import Preference
from dataset.records.reading import BadLine, check_file, read_records
from dataset.records.scored import ScoredAnswer
from model.errors import SproutError
from model.text.batches import text_batches

KINDS = ("preference", "scored", "chat")  # what can be scored, the first that fits wins
WHAT = {"preference": "pairs", "scored": "answers", "chat": "conversations"}


def scored_kind(path: str | Path) -> str:
    """Which of `KINDS` the first record of a file is.

    Raises `SproutError` for a file, or a first line, that is none of them.
    """
    check_file(path)
    for item in read_records(path):
        if isinstance(item, BadLine):
            raise SproutError(f"{item}: correct it, or remove the line")
        for kind in KINDS:
            with contextlib.suppress(BadRecord):
                detect_format(item.fields, kind)
                return kind
        unknown = unknown_shape(item.fields, KINDS)
        raise SproutError(f"{BadLine(item.path, item.line, unknown.reason, unknown.detail)}: give another file")
    raise SproutError(f"{path} holds no record")


def conversations_of(content: Conversation | Preference | ScoredAnswer) -> list[Conversation]:
    """What is to be scored of a record: of pairs chosen and rejected by turns."""
    return [content] if isinstance(content, Conversation) else content.conversations


def score_file(
    path: str | Path, kind: str, score: Callable[[list[Conversation]], Iterator[float | None]]
) -> Iterator[tuple[Document, list[float | None]]]:
    """Every record of a file and the rewards of its conversations, None for one that is too long.

    score(conversations) -> their rewards. Shows a progress bar. Raises `SproutError` for a line that cannot be used.
    """
    bar = tqdm(total=os.path.getsize(path), unit="B", unit_scale=True, desc="scoring", leave=False, disable=None)

    def documents() -> Iterator[Document]:
        for item in read_documents(path, FormatReader(kind), lambda position: bar.update(position - bar.n)):
            if isinstance(item, BadLine):
                raise SproutError(f"{item}: correct it, or remove the line")
            yield item

    with bar:
        for few in text_batches(documents(), lambda document: document.content.characters):
            every = [conversations_of(document.content) for document in few]
            found = score(list(itertools.chain.from_iterable(every)))
            for document, conversations in zip(few, every, strict=True):
                yield document, list(itertools.islice(found, len(conversations)))


def with_rewards(document: Document, found: list[float | None]) -> str:
    """The record as a line of JSON with `reward`, or of pairs `rewards`: [[chosen, rejected], ...]."""
    rounded = [None if value is None else float(f"{value:.6g}") for value in found]
    pairs = isinstance(document.content, Preference)
    added = {"rewards": [list(pair) for pair in zip(rounded[::2], rounded[1::2])]} if pairs else {"reward": rounded[0]}
    return json.dumps(document.fields | added, ensure_ascii=False, default=str) + "\n"


@dataclass
class Agreement:
    """Sums over records of a kind, and the figures made of them."""

    kind: str
    count: int = 0
    left_out: int = 0  # longer than the network is asked to read
    right: int = 0  # pairs whose chosen answer has the larger reward
    rewards: float = 0.0
    margins: float = 0.0
    squares: float = 0.0
    scores: float = 0.0
    scores_squared: float = 0.0
    least: float = math.inf
    most: float = -math.inf

    def add(self, document: Document, found: list[float | None]) -> None:
        size = 2 if self.kind == "preference" else 1
        for start in range(0, len(found), size):
            group = found[start : start + size]
            if None in group:
                self.left_out += 1
                continue
            self.count += 1
            self.rewards += sum(group) / size
            self.least, self.most = min(self.least, *group), max(self.most, *group)
            if self.kind == "preference":
                self.right += group[0] > group[1]
                self.margins += group[0] - group[1]
            elif self.kind == "scored":
                score = document.content.score
                self.squares += (group[0] - score) ** 2
                self.scores += score
                self.scores_squared += score**2

    def figures(self) -> dict[str, float | int]:
        """By name; {} of nothing."""
        n = self.count
        if n == 0:
            return {}
        found = {}
        if self.kind == "preference":
            found = {"accuracy": self.right / n, "margin": self.margins / n}
        elif self.kind == "scored":
            variance = self.scores_squared / n - (self.scores / n) ** 2
            found = {"mean_square_error": self.squares / n}
            if variance > 0:
                found["explained"] = 1 - self.squares / n / variance
        found |= {"min_reward": self.least, "mean_reward": self.rewards / n, "max_reward": self.most}
        return found | {WHAT[self.kind]: n, "left_out": self.left_out}


def in_words(figures: dict[str, float | int]) -> str:
    return "  ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value:.4f}" for name, value in figures.items()
    )
