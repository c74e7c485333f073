"""Rows of conversations: examples side by side that do not see each other.

An example of n tokens takes n-1 positions of a row, as ids[:-1] are inputs and ids[1:] targets; those that are not
trained are `IGNORE`. Positions restart at 0 with each example, by which the network knows where one begins; each
position that is left over is a document of padding of its own. So the loss of a row is that of its examples alone.

Which examples share a row depends on their lengths only (`packing`) and stays the same in all epochs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dataset.chat_cache import ChatCache
from dataset.examples import ExampleStream
from dataset.packing import cut_length, pack
from dataset.rows import IGNORE, Batch, Rows, RowsInOrder, check_ids, check_rows

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
    """The rows of conversations, `rows.Packed`; `kept` tells for each file what they hold of it."""

    def __init__(self, caches: Sequence[ChatCache], streams: Sequence[ExampleStream], row_length: int):
        check_rows(caches, row_length)
        self._caches, self.streams, self.row_length = list(caches), list(streams), row_length
        self.kept = [keep(stream, row_length, cache.end_id) for cache, stream in zip(caches, streams, strict=True)]
        self.targets = np.array([kept.trained for kept in self.kept], np.int64)
        self._rows = []  # of each file
        for kept in self.kept:
            here = np.flatnonzero(kept.lengths)
            packing = pack(kept.lengths[here] - 1, row_length)
            self._rows.append(packing.of(here))
        self.rows = np.array([len(rows) for rows in self._rows], np.int64)

    def gather(self, files: np.ndarray, rows: np.ndarray) -> Batch:
        shape = len(files), self.row_length
        tokens = np.full(shape, self._caches[0].pad_id, np.int64)
        targets = np.full(shape, IGNORE, np.int64)
        positions = np.zeros(shape, np.int64)
        for file in np.unique(files):
            examples, lengths = self.streams[file].map(), self.kept[file].lengths
            here = np.flatnonzero(files == file)
            for place in here:
                start = 0
                for index in self._rows[file][rows[place]]:
                    ids, trained = examples[index]
                    n = int(lengths[index])
                    row = place, slice(start, start + n - 1)
                    tokens[row] = ids[: n - 1]
                    np.copyto(targets[row], ids[1:n], where=trained[1:n])
                    positions[row] = np.arange(n - 1)
                    start += n - 1
            check_ids(tokens[here], self._caches[file])
            check_ids(targets[here], self._caches[file])
        trained = int(np.count_nonzero(targets != IGNORE))
        return Batch(torch.from_numpy(tokens), torch.from_numpy(targets), torch.from_numpy(positions), trained)

    def why_empty(self, file: int) -> str:
        stream = self.streams[file]
        if stream.size.documents == 0:
            return "no conversation is left to train on, all are held out"
        if stream.size.trained == 0:
            return "no conversation has a trained token"
        return (
            f"no conversation has a trained token in its first {self.row_length + 1} tokens: "
            f"--max_seq_len {shortest_row(stream)} would be the least, {int(stream.lengths().max()) - 1} would cut none"
        )

    def details(self, file: int) -> str:
        kept = self.kept[file]
        return (
            f"{len(kept.lengths):,} conversations, {kept.after_turn:,} cut after a turn, {kept.inside_turn:,} cut "
            f"inside a turn, {kept.left_out:,} left out as nothing trained is left; "
            f"{kept.trained / max(kept.positions, 1):.1%} of the tokens trained, {self.empty(file):.1%} of the "
            "positions empty"
        )

    def empty(self, file: int) -> float:
        """Share of the positions of a file's rows that hold padding."""
        return 1 - self.kept[file].positions / max(int(self.rows[file]) * self.row_length, 1)


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
        super().__init__(PackedExamples(caches, [cache.train for cache in caches], row_length), sources, seed)


class ChatValidationRows(RowsInOrder):
    """The held-out rows of conversations.

    `documents` counts those of which something trained is left, `left_out` the others.
    """

    def __init__(self, caches: Sequence[ChatCache], row_length: int):
        packed = PackedExamples(caches, [cache.validation for cache in caches], row_length)
        super().__init__(packed, caches, sum(kept.examples for kept in packed.kept))
        self.left_out = sum(kept.left_out for kept in packed.kept)
