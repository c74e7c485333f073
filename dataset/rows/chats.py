"""Rows of conversations: examples side by side that do not see each other.

An example of n tokens takes n-1 positions of a row, as ids[:-1] are inputs and ids[1:] targets; those that are not
trained are `IGNORE`. Positions restart at 0 with each example, by which the network knows where one begins; each
position that is left over is a document of padding of its own. So the loss of a row is that of its examples alone.

Which examples share a row depends on their lengths only (`packing`) and stays the same in all epochs. Files without
weights are packed as one: short conversations of one fill up what long ones of another leave.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dataset.cache.chats import ChatCache
from dataset.cache.examples import Examples, ExampleStream
from dataset.rows.packing import Packing, cut_length, pack
from dataset.rows.rows import IGNORE, Batch, Rows, RowsInOrder, check_ids, check_rows, locate
from model.errors import SproutError

EXAMPLES_AT_ONCE = 4096  # that are looked at before the memory they lie in is given back


@dataclass(frozen=True)
class Kept:
    """What rows of one length keep of a stream's examples."""

    lengths: np.ndarray  # int32 [examples], tokens kept of each: 0 if it is left out
    trained: int  # trained tokens kept
    after_turn: int  # examples cut behind a turn
    inside_turn: int  # examples cut within the first turn that is trained

    @property
    def examples(self) -> int:
        return int(np.count_nonzero(self.lengths))

    @property
    def left_out(self) -> int:
        return len(self.lengths) - self.examples

    @property
    def positions(self) -> int:
        return int(self.lengths.sum(dtype=np.int64)) - self.examples


def keep(stream: ExampleStream, row_length: int, end_id: int) -> Kept:
    """Cut the examples that are too long for rows of `row_length`."""
    limit = row_length + 1
    lengths = stream.lengths()
    trained, after_turn, inside_turn = stream.size.trained, 0, 0
    too_long = np.flatnonzero(lengths > limit)
    for start in range(0, too_long.size, EXAMPLES_AT_ONCE):
        examples = stream.map()
        for index in too_long[start : start + EXAMPLES_AT_ONCE]:
            ids, flags = examples[index]
            kept = lengths[index] = cut_length(ids, flags, limit, end_id)
            trained -= int(np.count_nonzero(flags[max(kept, 1) :]))
            if kept:
                after_turn += int(ids[kept - 1] == end_id)
                inside_turn += int(ids[kept - 1] != end_id)
    return Kept(lengths, trained, after_turn, inside_turn)


class PackedExamples:
    """The rows of conversations, `rows.Packed`; `kept` tells for each file what they hold of it.

    together: all files are one part and share rows.
    """

    def __init__(self, caches: Sequence[ChatCache], streams: Sequence[ExampleStream], row_length: int, together: bool):
        check_rows(caches, row_length)
        self._caches, self.streams, self.row_length = list(caches), list(streams), row_length
        self.kept = [keep(stream, row_length, cache.end_id) for cache, stream in zip(caches, streams, strict=True)]
        files = range(len(self.kept))
        self._parts = [list(files)] if together else [[file] for file in files]
        # Examples are numbered through all files.
        self._first = np.concatenate([[0], np.cumsum([len(kept.lengths) for kept in self.kept])])
        self._packings = [self._pack(part) for part in self._parts]
        self.rows = np.array([len(packing) for packing in self._packings], np.int64)
        self.targets = np.array([sum(self.kept[file].trained for file in part) for part in self._parts], np.int64)

    def _pack(self, part: list[int]) -> Packing:
        """The rows of some files that follow each other, as numbers of examples."""
        lengths = np.concatenate([self.kept[file].lengths for file in part])
        here = np.flatnonzero(lengths).astype(np.int32 if self._first[-1] < 2**31 else np.int64)
        return pack(lengths[here] - 1, self.row_length).of(here + here.dtype.type(self._first[part[0]]))

    def gather(self, parts: np.ndarray, rows: np.ndarray) -> Batch:
        shape = len(parts), self.row_length
        tokens = np.full(shape, self._caches[0].pad_id, np.int64)
        targets = np.full(shape, IGNORE, np.int64)
        positions = np.zeros(shape, np.int64)
        mapped: dict[int, Examples] = {}
        for place, (part, row) in enumerate(zip(parts, rows, strict=True)):
            start = 0
            for file, index in zip(*locate(self._first, self._packings[part][row])):
                if file not in mapped:
                    mapped[file] = self.streams[file].map()
                n = int(self.kept[file].lengths[index])
                ids, trained = (array[:n] for array in mapped[file][index])
                check_ids(ids, self._caches[file])
                here = place, slice(start, start + n - 1)
                tokens[here] = ids[:-1]
                np.copyto(targets[here], ids[1:], where=trained[1:])
                positions[here] = np.arange(n - 1)
                start += n - 1
        trained = int(np.count_nonzero(targets != IGNORE))
        return Batch(torch.from_numpy(tokens), torch.from_numpy(targets), torch.from_numpy(positions), trained)

    def files(self) -> list[tuple[Path, Kept, ExampleStream]]:
        """Of each file, what is kept of its stream."""
        return [(c.source, kept, stream) for c, kept, stream in zip(self._caches, self.kept, self.streams)]

    def check_trainable(self) -> None:
        for cache, stream, kept in zip(self._caches, self.streams, self.kept, strict=True):
            if kept.examples == 0:
                raise SproutError(f"{cache.source}: {why_empty(stream, self.row_length)}")

    def summary(self, part: int, share: float, passes: float) -> list[str]:
        lines, positions = [], sum(self.kept[file].positions for file in self._parts[part])
        for file in self._parts[part]:
            kept, of_part = self.kept[file], self.kept[file].positions / positions
            lines.append(
                f"  {self._caches[file].source}: {share * of_part:.1%} of the rows, {passes:.2f} passes over the file"
            )
            lines.append(
                f"    {len(kept.lengths):,} conversations, {kept.after_turn:,} cut after a turn, {kept.inside_turn:,} "
                f"cut inside a turn, {kept.left_out:,} left out as nothing trained is left; "
                f"{kept.trained / kept.positions:.1%} of the tokens trained"
            )
        empty = 1 - positions / (int(self.rows[part]) * self.row_length)
        shared = "; these files share rows" if len(self._parts[part]) > 1 else ""
        return [*lines, f"    {empty:.1%} of the positions empty{shared}"]


def why_empty(stream: ExampleStream, row_length: int) -> str:
    """Why rows of this length hold nothing of a stream, and which would."""
    if stream.size.documents == 0:
        return "no conversation is left to train on, all are held out"
    if stream.size.trained == 0:
        return "no conversation has a trained token"
    return (
        f"no conversation has a trained token in its first {row_length + 1} tokens: "
        f"--max_seq_len {shortest_row(stream)} would be the least, {int(stream.lengths().max()) - 1} would cut none"
    )


def shortest_row(stream: ExampleStream) -> int:
    """The least row length that keeps a trained token of a stream that has one."""
    shortest = int(stream.lengths().max())
    for start in range(0, stream.size.documents, EXAMPLES_AT_ONCE):
        examples = stream.map()
        for index in range(start, min(start + EXAMPLES_AT_ONCE, stream.size.documents)):
            places = np.flatnonzero(examples[index][1][1:])
            if places.size:
                shortest = min(shortest, int(places[0]) + 1)
    return shortest


class ChatRows(Rows):
    """The rows of conversations to train on, each `row_length` tokens long."""

    targets_are = "trained tokens"

    def __init__(self, sources: Sequence[tuple[ChatCache, float | None]], row_length: int, seed: int):
        caches = [cache for cache, _ in sources]
        together = all(weight is None for _, weight in sources)
        super().__init__(PackedExamples(caches, [cache.train for cache in caches], row_length, together), sources, seed)


class ChatValidationRows(RowsInOrder):
    """The held-out rows of conversations.

    `documents` counts those of which something trained is left, `left_out` the others.
    """

    def __init__(self, caches: Sequence[ChatCache], row_length: int):
        packed = PackedExamples(caches, [cache.validation for cache in caches], row_length, together=True)
        super().__init__(packed, caches, sum(kept.examples for kept in packed.kept))
        self.left_out = sum(kept.left_out for kept in packed.kept)
