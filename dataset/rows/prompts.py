"""Prompts that answers are sampled for. Each is a row of its own; the answers are packed into rows when they are there.

A prompt that leaves less than `room` of the row to its answer is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dataset.cache.prompts import PromptCache, PromptStream, StoredPrompt
from dataset.rows.rows import Kind, check_rows
from model.errors import SproutError


@dataclass(frozen=True)
class PromptBatch:
    prompts: list[StoredPrompt]


class PackedPrompts:
    """The prompts of several files, `rows.PackedRows`; each file is a part."""

    ROOM, ANSWERS = 1, 1  # how many tokens an answer may have, and how many a prompt gets; `prompts_for` sets them
    identity, bytes = (), 0

    def __init__(
        self, caches: Sequence[PromptCache], streams: Sequence[PromptStream], max_seq_len: int, share_rows: bool
    ):
        check_rows(caches)
        self._caches, self._streams, self.row_length = list(caches), list(streams), max_seq_len
        # A row holds inputs, so an answer's last token takes no place.
        longest = max_seq_len + 1 - self.ROOM
        self._kept = [np.flatnonzero(stream.lengths() <= longest) for stream in streams]
        self._longest = max((int(stream.lengths().max(initial=0)) for stream in streams), default=0)
        self.rows = np.array([len(kept) for kept in self._kept], np.int64)
        self.targets = self.rows * self.ROOM * self.ANSWERS
        self.records_kept = int(self.rows.sum())
        self.left_out = sum(stream.size.documents for stream in streams) - self.records_kept

    def gather(self, parts: np.ndarray, rows: np.ndarray) -> PromptBatch:
        found = [self._streams[part].read([self._kept[part][row]])[0] for part, row in zip(parts, rows)]
        return PromptBatch(found)

    def check_trainable(self) -> None:
        for cache, rows in zip(self._caches, self.rows):
            if not rows:
                raise SproutError(
                    f"{cache.source}: no prompt leaves {self.ROOM} tokens to its answer: {self._advice()}"
                )

    def summary(self, part: int, share: float, passes: float) -> list[str]:
        left_out = self._streams[part].size.documents - int(self.rows[part])
        return [f"  {self._caches[part].source}: {int(self.rows[part]):,} prompts, {left_out:,} left out as too long"]

    def warnings(self) -> list[str]:
        if self.left_out <= 0.1 * (self.records_kept + self.left_out):
            return []
        total = self.records_kept + self.left_out
        return [f"{self.left_out:,} of {total:,} prompts are too long and are left out: {self._advice()}"]

    def said_of_left_out(self, what: str) -> str:
        return f"{self.left_out:,} {what}"

    def _advice(self) -> str:
        return f"--max_seq_len {self._longest + self.ROOM - 1} is enough for all, or a smaller --max_new_tokens"


def prompts_for(room: int, answers: int = 1) -> Kind:
    """Prompts that get so many answers, each of which may have `room` tokens."""
    packed = type("PackedPrompts", (PackedPrompts,), {"ROOM": room, "ANSWERS": answers})
    return replace(PROMPTS, packed=packed)


PROMPTS = Kind(
    "prompt",
    PromptCache,
    PackedPrompts,
    targets="tokens of answers at most",
    sample="prompts",
    left_out="prompts that are too long",
)
