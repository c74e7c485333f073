"""Rewards of answers under a reward model, and how well they agree with the preferences or scores of a file."""

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dataset.records.conversations import Conversation
from dataset.records.documents import Document
from dataset.records.formats import RecordKind
from dataset.records.measured import at_line, parts_of
from dataset.records.preferences import Preference
from dataset.records.scored import ScoredAnswer
from dataset.rendering import ChatRenderer, cut_length
from model.errors import SproutError, UsageError
from model.json_text import json_text
from model.reward import RewardModel, rewards
from model.whole import in_mode

# The kinds that can be scored, and what their records are called; the first kind that fits a file wins.
SCORED_KINDS = {"preference": "pairs", "scored": "answers", "chat": "conversations"}
OTHER_RECORDS = "go on with the file that the run began with, or choose another --save_scores"


def score_conversations(
    model: RewardModel,
    renderer: ChatRenderer,
    conversations: Sequence[Conversation],
    *,
    max_seq_len: int,
    batch_size: int,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    show: Callable[[float], None] = lambda share: None,
) -> list[float | None]:
    """The reward of each conversation's last answer, in order; None where it has more than `max_seq_len` tokens.

    show: called after each batch with the share of all tokens that is scored.
    """
    every = [_up_to_last_answer(renderer, each) for each in renderer.render(conversations)]
    settings = {"max_seq_len": max_seq_len, "batch_size": batch_size, "autocast": autocast, "show": show}
    return score_ids(model, every, renderer.tokenizer.pad_id, **settings)


def score_ids(
    model: RewardModel,
    every: Sequence[Sequence[int]],
    pad_id: int,
    *,
    max_seq_len: int,
    batch_size: int,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    show: Callable[[float], None] = lambda share: None,
) -> list[float | None]:
    """The reward of each conversation in ids, which end where its answer ends; None if empty or over `max_seq_len`.

    An end that also pads is left out if the model learned from a program that reads the reward before it.

    Raises `SproutError` for a reward that is not finite: compared with others it would count as the smaller one.
    """
    device = model.score.weight.device
    found: list[float | None] = [None] * len(every)
    fitting = sorted((i for i, ids in enumerate(every) if 0 < len(ids) <= max_seq_len), key=lambda i: len(every[i]))
    if model.skips_padding:
        every = [ids[:-1] if len(ids) > 1 and ids[-1] == pad_id else ids for ids in every]
    total = sum(len(every[i]) for i in fitting)
    scored = 0
    with in_mode(model, training=False), torch.no_grad(), autocast():
        for start in range(0, len(fitting), batch_size):
            few = fitting[start : start + batch_size]
            width = max(len(every[i]) for i in few)
            tokens = np.full((len(few), width), pad_id, np.int64)  # padding is on the right, where no token sees it
            for row, i in zip(tokens, few):
                row[: len(every[i])] = every[i]
            ends = torch.tensor([place * width + len(every[i]) - 1 for place, i in enumerate(few)], device=device)
            values = rewards(model, torch.from_numpy(tokens).to(device), None, ends)
            for i, value in zip(few, values.tolist()):
                if not math.isfinite(value):
                    raise SproutError("the reward model computes values that are not numbers: its weights are damaged")
                found[i] = value
            scored += sum(len(every[i]) for i in few)
            show(scored / total)
    return found


def _up_to_last_answer(renderer: ChatRenderer, rendered) -> np.ndarray:
    return rendered.ids[: cut_length(rendered.ids, rendered.trained, len(rendered.ids), renderer.end_id)]


def score_records(
    path: str | Path,
    kind: RecordKind,
    score: Callable[..., Iterable[float | None]],
    check: Callable[[Conversation], object] = lambda conversation: None,
    earlier: Iterable[str] = (),
) -> Iterator[list[tuple[Document, list[float | None]]]]:
    """The records of a file, part by part, and the rewards of their conversations, rounded to six digits; for pairs,
    chosen and rejected alternate.

    kind: one with a name in `SCORED_KINDS`. score(conversations, show=show) -> their rewards, None for one that is too
    long; `show` takes the share that is done. check: raises `BadRecord` for a conversation that `score` cannot take.
    earlier: lines of the first records `with_rewards`, which are not scored again. Shows a progress bar. Raises
    `SproutError` for a line that is unusable, `UsageError` where `earlier` are lines of other records.
    """
    earlier = iter(earlier)
    for few, show in parts_of(path, kind, "scoring"):
        part = [_known(path, document, line) for document, line in zip(few, earlier)]
        few = few[len(part) :]
        every = [_conversations_of(document.content) for document in few]
        for document, conversations in zip(few, every, strict=True):
            at_line(path, document, lambda content, every=conversations: [check(one) for one in every])
        found = iter(score(list(itertools.chain.from_iterable(every)), show=show))
        for document, conversations in zip(few, every, strict=True):
            rewards = itertools.islice(found, len(conversations))
            part.append((document, [None if value is None else float(f"{value:.6g}") for value in rewards]))
        yield part
    if next(earlier, None) is not None:
        raise UsageError(f"{path} has fewer records than were scored: {OTHER_RECORDS}")


def _known(path: str | Path, document: Document, line: str) -> tuple[Document, list[float | None]]:
    """A record and the rewards that `line` holds of it. Raises `UsageError` where it is the line of another record."""
    try:
        record = json.loads(line)
        pairs = record["rewards"] if isinstance(document.content, Preference) else [[record["reward"]]]
        found = list(itertools.chain.from_iterable(pairs))
        is_its_line = json_text(with_rewards(document, found)) == line.rstrip("\n")
    except (ValueError, TypeError, KeyError):
        is_its_line = False
    if not is_its_line:
        raise UsageError(f"{path}, line {document.line}, is not the record that was scored: {OTHER_RECORDS}")
    return document, found


def _conversations_of(content: Conversation | Preference | ScoredAnswer) -> Sequence[Conversation]:
    return [content] if isinstance(content, Conversation) else content.conversations


def with_rewards(document: Document, found: list[float | None]) -> dict:
    """The record with its `reward`; or for pairs with `rewards`: [[chosen, rejected], ...]."""
    pairs = isinstance(document.content, Preference)
    added = {"rewards": [list(pair) for pair in zip(found[::2], found[1::2])]} if pairs else {"reward": found[0]}
    return document.fields | added


@dataclass
class Agreement:
    """Sums and means over the records of a kind, and the figures made of them."""

    kind: str
    count: int = 0
    left_out: int = 0  # number of records that are too long
    right: int = 0  # pairs whose chosen answer has the larger reward
    rewards: float = 0.0
    margins: float = 0.0
    squares: float = 0.0
    mean_score: float = 0.0
    deviations: float = 0.0  # sum of (score - mean)^2
    least: float = math.inf
    most: float = -math.inf

    def add(self, document: Document, found: list[float | None]) -> None:
        """Adds a record with the rewards that `score_records` found."""
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
                # Welford 1962: sums of squares would leave a variance of rounding errors where all scores are equal
                before = score - self.mean_score
                self.mean_score += before / self.count
                self.deviations += before * (score - self.mean_score)

    def figures(self) -> dict[str, float | int]:
        """Means and counts by name; counts alone if no record fitted."""
        n = self.count
        counts = {SCORED_KINDS[self.kind]: n, "left_out": self.left_out}
        if n == 0:
            return counts
        found = {}
        if self.kind == "preference":
            found = {"accuracy": self.right / n, "margin": self.margins / n}
        elif self.kind == "scored":
            found = {"mean_square_error": self.squares / n}
            if self.deviations > 0:
                found["explained"] = 1 - self.squares / self.deviations
        found |= {"min_reward": self.least, "mean_reward": self.rewards / n, "max_reward": self.most}
        return found | counts
