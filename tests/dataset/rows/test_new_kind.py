"""A new kind of data is a reader of its records and a description: here unpaired answers, each good or bad (KTO)."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from dataset.cache.examples import ExampleCache
from dataset.records.conversations import Conversation, from_completion
from dataset.records.formats import BadRecord, Format, RecordKind
from dataset.rendering import ChatRenderer
from dataset.rows.packed import PackedRecords
from dataset.rows.rows import Kind
from model.errors import SproutError
from model.likelihood import IGNORE
from tests.stages.workshop import Workshop
from train_full_sft import parse_arguments
from training.stages.data import describe_rows, open_data

# What would stand in dataset/records/unpaired.py


@dataclass(frozen=True)
class UnpairedAnswer:
    conversation: Conversation
    good: bool

    @property
    def conversations(self):
        return (self.conversation,)

    @property
    def labels(self):
        return (float(self.good),)

    @property
    def characters(self):
        return self.conversation.characters

    def to_json(self):
        return f"{self.conversation.to_json()}\n{self.good}\n"


def from_unpaired(fields: dict) -> UnpairedAnswer:
    if not isinstance(fields["label"], bool):
        raise BadRecord('"label" is neither true nor false')
    return UnpairedAnswer(from_completion({**fields, "label": None}), fields["label"])


SHAPE = '{"prompt": "...", "completion": "...", "label": true}'
KEYS = frozenset({"prompt", "completion", "label"})
UNPAIRED = RecordKind("unpaired", "an answer that is good or bad", (Format("unpaired", SHAPE, KEYS, from_unpaired),))


# What would stand in dataset/rows/unpaired.py


class UnpairedCache(ExampleCache):
    RECORDS, LABEL = UNPAIRED, "good"
    CONTENTS = "{records:,} answers, {tokens:,} tokens, held out {held_records:,}"


class PackedUnpaired(PackedRecords):
    def describe(self, file, share, passes):
        return [f"  {self.caches[file].source}: {self.kept[file].records:,} answers; {passes:.2f} passes"]

    def why_empty(self, file):
        return "no answer begins within --max_seq_len"


UNPAIRED_ANSWERS = Kind("kto", UnpairedCache, PackedUnpaired, targets="tokens of answers", sample="sft")


@pytest.mark.parametrize("weights", [("", ""), (":0.5", ":0.5")])
def test_a_new_kind_is_a_reader_and_a_description(tmp_path, small_tokenizer, weights):
    workshop = Workshop.create(tmp_path, "full_sft")
    records = [{"prompt": f"{i}?", "completion": "yes " * (1 + i % 5), "label": i % 3 > 0} for i in range(40)]
    names = ("one.jsonl", "two.jsonl")
    for name, some in zip(names, (records[:25], records[25:])):
        (tmp_path / name).write_text("".join(json.dumps(record) + "\n" for record in some))
    data = [name + weight for name, weight in zip(names, weights)]
    args, said = parse_arguments(workshop.command("out", "--max_seq_len=60", "--val_ratio=0", data=data)), []
    rows, validation = open_data(UNPAIRED_ANSWERS, args, small_tokenizer, said.append)
    assert len(validation) == 0 and rows.packed.records_kept == 40 and describe_rows(rows)["kind"] == "kto"
    assert said[0].endswith(f"one.jsonl: format unpaired, 25 answers, {rows.caches[0].tokens:,} tokens, held out 0")
    assert "one.jsonl: 25 answers; " in said[-2] and "two.jsonl: 15 answers; " in said[-2]
    parts, numbers = zip(*((part, row) for part, count in enumerate(rows.packed.rows) for row in range(count)))
    batch = rows.packed.gather(np.array(parts), np.array(numbers))
    assert sorted(batch.numbers.tolist()) == list(range(40))
    renderer = ChatRenderer(small_tokenizer)
    for place, number in enumerate(batch.numbers.tolist()):
        record, here = records[number], (batch.sequences == place) & (batch.targets != IGNORE)
        (rendered,) = renderer.render([from_completion({**record, "label": None})])
        assert batch.labels[place].item() == record["label"]
        assert batch.targets[here].tolist() == rendered.ids[rendered.trained].tolist()


def test_what_a_file_of_a_new_kind_cannot_hold_is_named(tmp_path, small_tokenizer):
    workshop = Workshop.create(tmp_path, "full_sft")
    (tmp_path / "text.jsonl").write_text('{"text": "a"}\n')
    args = parse_arguments(workshop.command("out", data=["text.jsonl"]))
    with pytest.raises(
        SproutError, match=r'this is a text, for train_pretrain.py; .*accepted: \{"prompt".*"label": true\}'
    ):
        open_data(UNPAIRED_ANSWERS, args, small_tokenizer, lambda line: None)
