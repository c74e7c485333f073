"""Rows of whole conversations whose last turn is an answer to be judged: pairs of them, or each with a score.

Unlike rows to train a language model on, these hold a conversation's last token too, the end of the answer, since that
is where its reward is read. None is cut: the answer that would then be judged is not the one that was preferred or
scored. A record that is too long is left out and counted.
"""

from dataset.cache.examples import ExampleCache
from dataset.records.scored import SCORED
from dataset.rows.packed import PackedRecords
from dataset.rows.pairs import PairCache
from dataset.rows.rows import Kind


class ScoreCache(ExampleCache):
    """The scored answers of a file: each a conversation and its score."""

    RECORDS, LABEL, BY_PROMPT = SCORED, "scores", True
    CONTENTS = "{records:,} scored answers, {tokens:,} tokens, held out {held_records:,} answers"


class PackedJudged(PackedRecords):
    """The rows of judged answers."""

    WHOLE, WHEN_TOO_LONG = True, "left out"

    def describe(self, file: int, share: float, passes: float) -> list[str]:
        kept, what = self.kept[file], "pairs" if self.per_record == 2 else "scored answers"
        return [
            f"  {self.caches[file].source}: {kept.records:,} {what}, {kept.too_long:,} left out"
            f" as longer than {self.max_seq_len} tokens{kept.other_reasons}; {passes:.2f} passes"
        ]

    def why_empty(self, file: int) -> str:
        if self.kept[file].records == 0:
            return "no record is left to train on: all are held out"
        return (
            f"no record has at most {self.max_seq_len} tokens in each conversation:"
            " give a larger --max_seq_len, or other data"
        )


JUDGED_PAIRS = Kind(
    "reward",
    PairCache,
    PackedJudged,
    targets="tokens of conversations",
    sample="preference",
    left_out="records longer than --max_seq_len",
)

SCORED_ANSWERS = Kind(
    "reward",
    ScoreCache,
    PackedJudged,
    targets="tokens of conversations",
    sample="preference",
    left_out="records longer than --max_seq_len",
)
