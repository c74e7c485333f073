"""Rows of records of conversations, side by side, none of which sees another.

A record is one conversation or several, and may have a label (`dataset.cache.examples`). A conversation of n tokens
takes n-1 positions of a row, as ids[:-1] are inputs and ids[1:] targets; those that are not trained are `IGNORE`.
Positions restart at 0 with each, which tells the network where one begins; each position that is left over is a
document of padding of its own. So the loss of a row is that of its conversations alone.

Which records share a row depends on their lengths only (`packing`) and stays the same in all epochs. Files without
weights are packed as one: short records of one fill up what long ones of another leave.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from dataset.cache.examples import ExampleCache, ExampleStream, warnings_about_edits
from dataset.records.unread import warnings_about_keys
from dataset.rendering import cut_length
from dataset.rows.packing import Packing, pack
from dataset.rows.rows import Batch, check_ids, check_rows, locate
from model.errors import SproutError
from model.likelihood import IGNORE

EXAMPLES_AT_ONCE = 4096  # so many are read before their memory is given back
MANY_TOO_LONG = 0.1  # a larger share of the records is worth a warning


@dataclass(frozen=True)
class RecordBatch(Batch):
    """Rows with R records in them, of E conversations each. Conversation e of record r is number e * R + r of the
    batch: for pairs, the first R are the chosen ones, the others the rejected ones.
    """

    targets: torch.Tensor | None  # None where rows hold whole conversations; `trained` then counts all their tokens
    sequences: torch.Tensor  # [B, T] int64, which conversation a token belongs to; 0 in padding, which is no target
    ends: torch.Tensor  # int64 [E R], where in tokens.flatten() conversations end
    labels: torch.Tensor  # float32 [R]; 0 where records have none
    reference: torch.Tensor | None  # float32 [E R], log p of each answer under the reference, if that is known
    numbers: np.ndarray  # int64 [R], the number of each record among all
    records: int  # R

    @property
    def mixed(self) -> "RecordBatch | None":
        """The same rows with answers behind other prompts, for kinds of data that have such a copy."""
        return None


@dataclass(frozen=True)
class KeptRecords:
    """What rows of one length hold of a file."""

    lengths: np.ndarray  # int32 [records, E], tokens kept of each conversation; 0 in a record that is left out
    targets: int
    after_turn: int = 0  # conversations cut behind a turn
    inside_turn: int = 0  # conversations cut within the first turn that is trained
    alike: int = 0  # records left out since nothing tells their conversations apart, once they are cut
    excluded: int = 0  # records with a conversation of which their own marks exclude everything (`records.marks`)

    @property
    def records(self) -> int:
        """All of the file, those left out included."""
        return len(self.lengths)

    @property
    def left_out(self) -> int:
        return int(np.count_nonzero(self.lengths[:, 0] == 0))

    @property
    def too_long(self) -> int:
        """Those left out for want of room in a row."""
        return self.left_out - self.alike - self.excluded

    @property
    def other_reasons(self) -> str:
        """Why else records are left out, with counts, as the end of a sentence that begins with `too_long`."""
        alike = f", {self.alike:,} as their answers are alike in that length" if self.alike else ""
        return alike + (f", {self.excluded:,} as their own marks exclude them" if self.excluded else "")


def keep_cut(stream: ExampleStream, limit: int, end_id: int) -> KeptRecords:
    """Cut conversations that have more than `limit` tokens.

    A record is left out if nothing trained is left of one of its conversations: an answer without the other one is
    compared with nothing.
    """
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
    by_record = lengths.reshape(-1, stream.per_record)
    incomplete = (by_record == 0).any(axis=1)
    for index in np.flatnonzero((by_record > 0) & incomplete[:, None]):
        trained -= int(np.count_nonzero(stream.map()[index][1][1 : lengths[index]]))
    by_record[incomplete] = 0
    return KeptRecords(by_record, trained, after_turn, inside_turn)


def without_alike(kept: KeptRecords, stream: ExampleStream, shift: int) -> KeptRecords:
    """Leaves out records whose two conversations are the same tokens, as far as they are kept.

    They teach nothing: the gradients of both cancel out except for rounding, which AdamW would magnify. `shift`: 1 if
    targets are counted, as for `keep_cut`; 0 if all tokens are.
    """
    lengths, alike, targets = kept.lengths, [], kept.targets
    same_length = np.flatnonzero((lengths[:, 0] == lengths[:, 1]) & (lengths[:, 0] > 0))
    for start in range(0, same_length.size, EXAMPLES_AT_ONCE):
        examples = stream.map()
        for record in same_length[start : start + EXAMPLES_AT_ONCE]:
            n = lengths[record, 0]
            (ids, trained), (others, others_trained) = examples[2 * record], examples[2 * record + 1]
            if np.array_equal(ids[:n], others[:n]):
                alike.append(record)
                flags = (trained[:n], others_trained[:n])
                targets -= sum(int(np.count_nonzero(each[1:])) for each in flags) if shift else 2 * int(n)
    lengths[alike] = 0
    return replace(kept, targets=targets, alike=len(alike))


def keep_whole(stream: ExampleStream, limit: int) -> KeptRecords:
    """Leave out records that have a conversation of more than `limit` tokens, or of none."""
    lengths = stream.lengths().reshape(-1, stream.per_record)
    lengths[((lengths == 0) | (lengths > limit)).any(axis=1)] = 0
    return KeptRecords(lengths, int(lengths.sum(dtype=np.int64)))


class PackedRecords:
    """The rows of records of conversations, `rows.PackedRows`; records are numbered through all files.

    A row is E times as long as the longest conversation may be, so that any record fits, or `LONGEST_IN_A_ROW` times
    as long as that. A subclass says what is printed: `describe`, `why_empty`, and `warnings` if there are any.

    Attributes: `kept` of each file; `reference`, None or float32 [records, E], log p of every answer under a reference.
    """

    WHOLE = False  # whether rows hold whole conversations and no targets, instead of inputs and targets one apart
    LONGEST_IN_A_ROW = 1  # how many of the longest records fit into a row
    NAMES, WHEN_TOO_LONG = "records", "cut or left out"  # what a warning calls records, and those that are too long
    bytes = 0

    def __init__(
        self,
        caches: Sequence[ExampleCache],
        streams: Sequence[ExampleStream],
        max_seq_len: int,
        share_rows: bool,
    ):
        check_rows(caches)
        self.caches, self.streams, self.max_seq_len = list(caches), list(streams), max_seq_len
        self.per_record = caches[0].PER_RECORD
        self.row_length = self.LONGEST_IN_A_ROW * self.per_record * max_seq_len
        self.kept = [self._keep(cache, stream) for cache, stream in zip(caches, streams, strict=True)]
        files = range(len(caches))
        self._parts = [list(files)] if share_rows else [[file] for file in files]
        self._first = np.concatenate([[0], np.cumsum([kept.records for kept in self.kept])])
        self._packings = [self._pack(part) for part in self._parts]
        self.rows = np.array([len(packing) for packing in self._packings], np.int64)
        self.targets = np.array([sum(self.kept[file].targets for file in part) for part in self._parts], np.int64)
        self.reference: np.ndarray | None = None

    @property
    def records(self) -> int:
        """All records, those left out included."""
        return int(self._first[-1])

    @property
    def left_out(self) -> int:
        return sum(kept.left_out for kept in self.kept)

    @property
    def identity(self) -> list[str]:
        """Alike pairs are counted in it, since earlier versions of Sprout, which left them in, had other rows."""
        count = sum(kept.alike for kept in self.kept)
        return [f"pairs left out as alike: {count}"] if count else []

    @property
    def records_kept(self) -> int:
        return self.records - self.left_out

    def positions(self, file: int) -> int:
        """How many positions of rows a file takes."""
        lengths = self.kept[file].lengths
        return int(lengths.sum(dtype=np.int64)) - self._shift * int(np.count_nonzero(lengths))

    @property
    def _shift(self) -> int:
        """How far targets are ahead of inputs: a conversation takes that many positions fewer than it has tokens."""
        return 0 if self.WHOLE else 1

    def _keep(self, cache: ExampleCache, stream: ExampleStream) -> KeptRecords:
        if self.WHOLE:
            kept = keep_whole(stream, self.max_seq_len)
        else:
            kept = keep_cut(stream, self.max_seq_len + 1, cache.end_id)
        kept = without_alike(kept, stream, self._shift) if self.per_record == 2 else kept
        no_target = (stream.lengths().reshape(-1, self.per_record) == 0).any(axis=1)  # at any length of a row
        return replace(kept, excluded=int(np.count_nonzero(no_target)))

    def _pack(self, part: list[int]) -> Packing:
        """The rows of some files that follow each other, as numbers of records."""
        lengths = np.concatenate([self.kept[file].lengths for file in part])
        here = np.flatnonzero(lengths[:, 0]).astype(np.int32 if self.records < 2**31 else np.int64)
        packing = pack((lengths[here] - self._shift).sum(axis=1, dtype=np.int32), self.row_length)
        return packing.renumbered(here + here.dtype.type(self._first[part[0]]))

    def numbers(self, part: int, row: int) -> np.ndarray:
        """The numbers of the records in a row."""
        return self._packings[part][row]

    def gather(self, parts: np.ndarray, rows: np.ndarray) -> RecordBatch:
        shape, shift = (len(parts), self.row_length), self._shift
        tokens, targets = np.full(shape, self.caches[0].pad_id, np.int64), np.full(shape, IGNORE, np.int64)
        positions, sequences = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        numbers = [self.numbers(part, row) for part, row in zip(parts, rows, strict=True)]
        count = sum(map(len, numbers))
        ends, labels = np.zeros((self.per_record, count), np.int64), np.zeros(count, np.float32)
        record, taken, mapped = 0, 0, {}
        for place, here in enumerate(numbers):
            start = 0
            for file, index in zip(*locate(self._first, here)):
                if file not in mapped:
                    mapped[file] = self.streams[file].map(), self.streams[file].labels()
                examples, labels_of_file = mapped[file]
                if labels_of_file is not None:
                    labels[record] = labels_of_file[index]
                for each in range(self.per_record):
                    n = int(self.kept[file].lengths[index, each])
                    ids, trained = (array[:n] for array in examples[self.per_record * index + each])
                    check_ids(ids, self.caches[file])
                    span = place, slice(start, start + n - shift)
                    tokens[span] = ids[: n - shift]
                    if shift:
                        np.copyto(targets[span], ids[1:], where=trained[1:])
                    positions[span] = np.arange(n - shift)
                    sequences[span] = each * count + record
                    start += n - shift
                    ends[each, record] = place * self.row_length + start - 1
                record += 1
            taken += start
        flat = np.concatenate(numbers).astype(np.int64)
        reference = None if self.reference is None else torch.from_numpy(self.reference[flat].T.reshape(-1).copy())
        return RecordBatch(
            tokens=torch.from_numpy(tokens),
            targets=None if self.WHOLE else torch.from_numpy(targets),
            positions=torch.from_numpy(positions),
            trained=taken if self.WHOLE else int(np.count_nonzero(targets != IGNORE)),
            sequences=torch.from_numpy(sequences),
            ends=torch.from_numpy(ends.reshape(-1)),
            labels=torch.from_numpy(labels),
            reference=reference,
            numbers=flat,
            records=count,
        )

    def check_trainable(self) -> None:
        for file, kept in enumerate(self.kept):
            if kept.left_out == kept.records:
                why = self.why_empty(file)
                if kept.records and kept.excluded == kept.records:
                    why = f"all {kept.records:,} {self.NAMES} are excluded by their own marks: give other data"
                raise SproutError(f"{self.caches[file].source}: {why}")

    def why_empty(self, file: int) -> str:
        """Why no record of a file is in the rows, and what to do, where not all are excluded by their marks."""
        raise NotImplementedError

    def summary(self, part: int, share: float, passes: float) -> list[str]:
        files = self._parts[part]
        positions, lines = sum(map(self.positions, files)), []
        for file in files:
            lines += self.describe(file, share * (self.positions(file) / positions), passes)
        empty = 1 - positions / (int(self.rows[part]) * self.row_length)
        return [*lines, f"    {empty:.1%} of the positions empty"]

    def describe(self, file: int, share: float, passes: float) -> list[str]:
        """Lines on a file, which has this share of the rows and is passed over this often in an epoch."""
        raise NotImplementedError

    def warnings(self) -> list[str]:
        """Warnings about files of which --max_seq_len leaves out or cuts much, with lengths that do not, or of whose
        records something is not read."""
        warnings = warnings_about_edits(self.caches) + warnings_about_keys(self.caches) + self.warnings_about_marks()
        for cache, stream, kept in zip(self.caches, self.streams, self.kept, strict=True):
            needed = stream.lengths().reshape(-1, self.per_record).max(axis=1, initial=0) - self._shift
            too_long = int(np.count_nonzero(needed > self.max_seq_len))
            if too_long > MANY_TOO_LONG * kept.records:
                nearly = int(np.percentile(needed, 99, method="inverted_cdf"))
                warnings.append(
                    f"{too_long:,} of {kept.records:,} {self.NAMES} in {cache.source} are {self.WHEN_TOO_LONG}:"
                    f" --max_seq_len {nearly} would be enough for 99 % of them, {needed.max()} for all"
                )
        return warnings

    def warnings_about_marks(self) -> list[str]:
        """A warning for each file with records that exclude themselves."""
        return [
            f"left out {kept.excluded:,} {self.NAMES} of {cache.source}: a mark in the record, such as"
            ' "train": false, excludes all that would be trained'
            for cache, kept in zip(self.caches, self.kept, strict=True)
            if kept.excluded
        ]

    def said_of_left_out(self, what: str) -> str:
        """How many records are left out, and why. what: names those for which a row is too short, as `Kind` does."""
        excluded = sum(kept.excluded for kept in self.kept)
        said = []
        if self.left_out > excluded:
            said.append(f"{self.left_out - excluded:,} {what}")
        if excluded:
            said.append(f"{excluded:,} {self.NAMES} that their own marks exclude")
        return " and ".join(said)
