"""Rows of conversations to imitate: only what the assistant says, with the ends of its turns, is trained."""

from dataclasses import replace

import numpy as np

from dataset.cache.examples import ExampleCache, ExampleStream, warnings_about_edits
from dataset.records.chat_formats import CHAT
from dataset.records.unread import warnings_about_keys
from dataset.rows.packed import EXAMPLES_AT_ONCE, PackedRecords
from dataset.rows.rows import Kind

MANY_CUT = 0.1  # a larger share of the conversations is worth a warning
FEW_TRAINED = 0.1  # a smaller share of the tokens is


class ChatCache(ExampleCache):
    """The conversations of a chat file."""

    RECORDS = CHAT
    CONTENTS = (
        "{records:,} conversations, {tokens:,} tokens ({trained:.1%} of them trained), held out "
        "{held_records:,} conversations, {held_tokens:,} tokens"
    )


class PackedChats(PackedRecords):
    """The rows of conversations."""

    NAMES = "conversations"

    def describe(self, file: int, share: float, passes: float) -> list[str]:
        kept = self.kept[file]
        return [
            f"  {self.caches[file].source}: {share:.1%} of the rows, {passes:.2f} passes over the file",
            f"    {kept.records:,} conversations, {kept.after_turn:,} cut after a turn, "
            f"{kept.inside_turn:,} cut inside a turn, {kept.too_long:,} left out as nothing trained is left"
            f"{kept.other_reasons}; "
            f"{kept.targets / self.positions(file):.1%} of the tokens trained",
        ]

    def summary(self, part: int, share: float, passes: float) -> list[str]:
        lines = super().summary(part, share, passes)
        if len(self._parts[part]) > 1:
            lines[-1] += "; these files share rows"
        return lines

    def why_empty(self, file: int) -> str:
        stream = self.streams[file]
        if stream.records == 0:
            return "no conversation is left to train on: all are held out"
        return (
            f"no conversation has a trained token in its first {self.row_length + 1} tokens: "
            f"--max_seq_len {shortest_row(stream)} would be the least, {int(stream.lengths().max()) - 1} would cut none"
        )

    def warnings(self) -> list[str]:
        warnings = warnings_about_edits(self.caches) + warnings_about_keys(self.caches) + self.warnings_about_marks()
        for file, (cache, stream, kept) in enumerate(zip(self.caches, self.streams, self.kept, strict=True)):
            cut, positions = kept.after_turn + kept.inside_turn + kept.too_long, self.positions(file)
            if cut > MANY_CUT * kept.records:
                warnings.append(
                    f"{cut / kept.records:.0%} of the conversations in {cache.source} are cut or left out: raise"
                    f" --max_seq_len ({int(stream.lengths().max()) - 1:,} cuts none), or look at them with"
                    " python -m dataset.preview"
                )
            if positions and kept.targets < FEW_TRAINED * positions:
                warnings.append(
                    f"only {kept.targets / positions:.1%} of the tokens of {cache.source} are trained: the answers are"
                    " short, or not marked as the assistant's; look at them with python -m dataset.preview"
                )
        return warnings


def shortest_row(stream: ExampleStream) -> int:
    """The least row length that keeps a trained token of a stream that has one."""
    shortest = int(stream.lengths().max())
    for start in range(0, stream.records, EXAMPLES_AT_ONCE):
        examples = stream.map()
        for index in range(start, min(start + EXAMPLES_AT_ONCE, stream.records)):
            places = np.flatnonzero(examples[index][1][1:])
            if places.size:
                shortest = min(shortest, int(places[0]) + 1)
    return shortest


CHATS = Kind(
    "chat",
    ChatCache,
    PackedChats,
    targets="trained tokens",
    sample="sft",
    left_out="conversations, whose first answer begins beyond --max_seq_len",
)

# Conversations in which the assistant thinks before it answers.
THOUGHTS = replace(CHATS, sample="reason")
