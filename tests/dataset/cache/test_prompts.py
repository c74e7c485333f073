"""The cache of prompts holds what the renderer gives and what rewards see, and says where it is damaged."""

import json
import os
import re
from datetime import date

import pyarrow
import pyarrow.parquet
import pytest

from dataset.rendering import ChatRenderer
from dataset.rows.prompts import PROMPTS
from model.errors import SproutError

TOOL = {"type": "function", "function": {"name": "now", "description": "几点了", "parameters": {}}}
RECORDS = [
    {"prompt": "1 + 1?", "answer": "2", "way": ["\ud800", {"中": None}]},
    {"prompt": [{"role": "system", "content": "简短"}, {"role": "user", "content": "几点了？"}], "tools": [TOOL]},
    {"prompt": "a" * 50, "answer": "b"},
]


def cache_of(folder, build, records=RECORDS, **settings):
    (folder / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    return build(folder / "a.jsonl", kind=PROMPTS, **{"val_ratio": 0} | settings)


def test_prompts_are_stored_as_they_are_rendered_with_what_rewards_see(tmp_path, build, tokenizer):
    stream, renderer = cache_of(tmp_path, build).train, ChatRenderer(tokenizer)
    third, first, second = stream.read([2, 0, 1])
    assert first.messages == [{"role": "user", "content": "1 + 1?"}] and second.messages == RECORDS[1]["prompt"]
    assert (first.tools, second.tools) == ([], [TOOL])
    assert first.columns.items() >= {"answer": "2", "way": RECORDS[0]["way"]}.items()
    assert third.columns["answer"] == "b" and third.messages[0]["content"] == "a" * 50
    for one in (first, second, third):
        assert one.ids == renderer.prompt(one.messages, one.tools)
    assert stream.lengths().tolist() == [len(one.ids) for one in (first, second, third)]


def test_a_value_that_json_has_not_is_seen_as_text(tmp_path, build):
    table = pyarrow.table({"prompt": ["When?"], "answer": [date(2024, 2, 29)]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    (found,) = build(tmp_path / "a.parquet", kind=PROMPTS, val_ratio=0).train.read([0])
    assert found.columns["answer"] == "2024-02-29"


def test_what_is_said_of_a_file_is_of_both_its_parts(tmp_path, build):
    cache = cache_of(tmp_path, build, [{"prompt": f"{n}?"} for n in range(60)], val_ratio=0.4)
    held_out = cache.validation.size.documents
    tokens = cache.train.lengths().sum() + cache.validation.lengths().sum()
    assert 9 < held_out < 40 and f"60 prompts, {tokens:,} tokens, held out {held_out} prompts" in cache.summary()


@pytest.mark.parametrize(
    "name, is_stamped", [("records", True), ("offsets", True), ("offsets", False), ("places", False)]
)
def test_damage_within_files_is_reported_when_it_is_read(tmp_path, build, name, is_stamped):
    cache = cache_of(tmp_path, build)
    file = cache.folder / f"train.{name}.bin"
    before, content = file.stat(), file.read_bytes()
    file.write_bytes(content[:-8] + bytes([content[-8] ^ 1]) + content[-7:])
    if not is_stamped:  # as a disk forgets a bit: then no checksum is looked at
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(SproutError, match=rf"{re.escape(str(cache.folder))} is damaged: .* delete this folder"):
        cache.train.read([0])
