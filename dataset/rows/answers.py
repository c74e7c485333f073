"""Rows of single answers, each good or bad, with a second copy in which every prompt has the answer of another one.

The second copy measures how far the network has gone from its reference on answers that nobody wrote for the prompt,
for the KL term of KTO (https://arxiv.org/abs/2402.01306). Answers change places within a row only, so the pairing
depends neither on micro-batches nor on processes, and the reference of the second copy can be computed once as well.
"""

from dataclasses import dataclass

import numpy as np
import torch

from dataset.cache.examples import ExampleCache
from dataset.records.unpaired import UNPAIRED_OR_PAIRS
from dataset.rows.packed import PackedRecords, RecordBatch
from dataset.rows.rows import Kind
from model.likelihood import IGNORE


@dataclass(frozen=True)
class AnswerBatch(RecordBatch):
    """Rows of R answers. `labels`: 1 for a good one, 0 for a bad one. `reference`: float32 [2 R], log p of every answer
    to its own prompt, then to the prompt that it stands behind in the second copy.
    """

    mixed_tokens: torch.Tensor  # [B, T], the second copy, as `tokens`, `targets`, ... are the first
    mixed_targets: torch.Tensor
    mixed_positions: torch.Tensor
    mixed_sequences: torch.Tensor

    @property
    def mixed(self) -> RecordBatch:
        """The second copy; a record is called as its prompt is. One without another answer in its row has no target."""
        return RecordBatch(
            tokens=self.mixed_tokens,
            targets=self.mixed_targets,
            positions=self.mixed_positions,
            trained=0,
            sequences=self.mixed_sequences,
            ends=self.ends,
            labels=self.labels,
            reference=None,
            numbers=self.numbers,
            records=self.records,
        )


class AnswerCache(ExampleCache):
    """The answers of a file, and whether each is good."""

    RECORDS, LABEL, BY_PROMPT = UNPAIRED_OR_PAIRS, "good", True
    CONTENTS = (
        "{records:,} answers, {tokens:,} tokens ({trained:.1%} of them in answers), held out {held_records:,} answers"
    )


class PackedAnswers(PackedRecords):
    """The rows of single answers; any two fit into one, so that hardly any answer is alone in its row."""

    LONGEST_IN_A_ROW, NAMES = 2, "answers"

    def describe(self, file: int, share: float, passes: float) -> list[str]:
        kept = self.kept[file]
        return [
            f"  {self.caches[file].source}: {kept.records:,} answers, {kept.after_turn + kept.inside_turn:,} cut,"
            f" {kept.too_long:,} left out as they begin too late{kept.other_reasons}; {passes:.2f} passes"
        ]

    def why_empty(self, file: int) -> str:
        return f"no answer begins within {self.max_seq_len + 1} tokens: give a larger --max_seq_len, or other data"

    def count(self, good: bool) -> np.ndarray:
        """How many good or bad answers the rows of each part hold, int64 [parts]."""
        found = [
            int(np.count_nonzero((stream.labels() == good) & (kept.lengths[:, 0] > 0)))
            for stream, kept in zip(self.streams, self.kept)
        ]
        return np.array([sum(found[file] for file in part) for part in self._parts])

    def gather(self, parts: np.ndarray, rows: np.ndarray) -> AnswerBatch:
        batch = super().gather(parts, rows)
        names = ("tokens", "targets", "positions", "sequences")
        mixed = {f"mixed_{name}": value for name, value in zip(names, mix(batch, self.max_seq_len))}
        return AnswerBatch(**vars(batch), **mixed)


def mix(batch: RecordBatch, limit: int) -> list[torch.Tensor]:
    """Tokens, targets, positions and sequences, each [B, T], of rows in which answers have changed places.

    All answers of a row move on by the same number of places: the least at which most of them stand behind another
    prompt. Those that do not are no targets. An answer that then ends beyond `limit` tokens is cut.
    """
    tokens, targets = batch.tokens.numpy(), batch.targets.numpy()
    # Left-over positions are documents of one token each: which token that is does not matter.
    new_tokens, new_positions, new_sequences = (np.zeros_like(tokens) for _ in range(3))
    new_targets = np.full_like(targets, IGNORE)
    for row, here in _spans(targets, batch.ends.numpy()).items():
        prompts = [tokens[row, start : first + 1].tobytes() for _, start, first, _ in here]
        shifts = range(1, max(2, len(here)))
        others = [[prompt != prompts[i - shift] for i, prompt in enumerate(prompts)] for shift in shifts]
        best = int(np.argmax([sum(each) for each in others]))
        place = 0
        for i, (record, start, first, _) in enumerate(here):
            _, _, begins, ends = here[i - shifts[best]]
            n = min(first - start + ends - begins, limit)
            span = row, slice(place, place + n)
            new_tokens[span] = np.concatenate([tokens[row, start : first + 1], tokens[row, begins + 1 : ends]])[:n]
            if others[best][i]:
                new_targets[row, place + first - start : place + n] = targets[row, begins:ends][: n - (first - start)]
            new_positions[span] = np.arange(n)
            new_sequences[span] = record
            place += n
    return [torch.from_numpy(each) for each in (new_tokens, new_targets, new_positions, new_sequences)]


def _spans(targets: np.ndarray, last: np.ndarray) -> dict[int, list[tuple[int, int, int, int]]]:
    """For each row, of each record in it: its number, where it starts, its first target, and behind its last one.

    targets: [B, T]; last: int64 [R], the places of the last targets in `targets.flatten()`.
    """
    spans: dict[int, list] = {}
    for record, (row, end) in enumerate(zip(*np.divmod(last, targets.shape[1]))):
        here = spans.setdefault(int(row), [])
        start = here[-1][3] if here else 0
        first = start + int(np.flatnonzero(targets[row, start : end + 1] != IGNORE)[0])
        here.append((record, start, first, int(end) + 1))
    return spans


ANSWERS = Kind(
    "preference",
    AnswerCache,
    PackedAnswers,
    targets="tokens of answers",
    sample="preference",
    left_out="answers, which begin beyond --max_seq_len",
)
