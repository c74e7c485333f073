"""Rows of preference pairs: both answers of a pair in one row, beside others.

The tokens behind the messages that both conversations begin with are trained. `RecordBatch.sequences` says which
token belongs to which answer.
"""

from dataset.cache.examples import ExampleCache
from dataset.records.preferences import PREFERENCE
from dataset.rows.packed import PackedRecords
from dataset.rows.rows import Kind


class PairCache(ExampleCache):
    """The pairs of a preference file: the chosen and the rejected conversation of each, and its margin."""

    RECORDS, PER_RECORD, LABEL, BY_PROMPT = PREFERENCE, 2, "margins", True
    CONTENTS = (
        "{records:,} pairs, {tokens:,} tokens ({trained:.1%} of them in answers that are compared), held out "
        "{held_records:,} pairs"
    )


class PackedPairs(PackedRecords):
    """The rows of preference pairs."""

    NAMES = "pairs"

    def describe(self, file: int, share: float, passes: float) -> list[str]:
        kept = self.kept[file]
        return [
            f"  {self.caches[file].source}: {kept.records:,} pairs, {kept.after_turn + kept.inside_turn:,} answers cut,"
            f" {kept.too_long:,} pairs left out as an answer begins too late{kept.other_reasons};"
            f" {passes:.2f} passes"
        ]

    def why_empty(self, file: int) -> str:
        if n := self.kept[file].alike:
            return (
                f"the answers of {n:,} pairs are alike in their first {self.max_seq_len + 1} tokens, and no other pair"
                " has both begin there: give a larger --max_seq_len, or other data"
            )
        return (
            f"no pair has two answers that begin within {self.max_seq_len + 1} tokens:"
            " give a larger --max_seq_len, or other data"
        )


PAIRS = Kind(
    "preference",
    PairCache,
    PackedPairs,
    targets="tokens of answers",
    sample="preference",
    left_out="pairs, of which an answer begins beyond --max_seq_len, or both are alike up to there",
)
