"""Rows of prompts for a network that answers them itself while it learns: a place stands where its answer will be."""

from dataclasses import replace
from functools import partial

from dataset.cache.examples import ExampleCache
from dataset.records.conversations import Conversation
from dataset.records.formats import RecordKind
from dataset.records.prompts import PLACE, PROMPT, PROMPT_OR_CHAT
from dataset.rows.packed import PackedRecords
from dataset.rows.rows import Kind


def with_place(fields: dict, read) -> Conversation:
    """The prompt that `read` makes of a record, and an answer that only marks where one begins. Raises BadRecord."""
    asked = read(fields).conversation
    place = {"role": "assistant", "content": PLACE}
    return replace(asked, messages=(*asked.messages, place), trained_from=len(asked.messages))


class UnansweredCache(ExampleCache):
    """The prompts of a file."""

    RECORDS = RecordKind(
        "unanswered",
        PROMPT.what,
        tuple(replace(one, read=partial(with_place, read=one.read)) for one in PROMPT_OR_CHAT.formats),
    )
    CONTENTS = "{records:,} prompts, {tokens:,} tokens, held out {held_records:,} prompts"


class PackedUnanswered(PackedRecords):
    """The rows of prompts."""

    NAMES = "prompts"

    def describe(self, file: int, share: float, passes: float) -> list[str]:
        kept = self.kept[file]
        return [
            f"  {self.caches[file].source}: {kept.records:,} prompts, {kept.too_long:,} left out as too long;"
            f" {passes:.2f} passes"
        ]

    def why_empty(self, file: int) -> str:
        return f"no prompt leaves room for an answer within {self.max_seq_len} tokens: give a larger --max_seq_len"


UNANSWERED = Kind(
    "chat",
    UnansweredCache,
    PackedUnanswered,
    targets="tokens in place of answers",
    sample="sft",
    left_out="prompts that are too long",
)
