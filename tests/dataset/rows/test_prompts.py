"""Prompts to sample answers for: which of them leave room for an answer, and from which row length on all do."""

import json

import pytest

from dataset.rows.prompts import prompts_for
from dataset.rows.rows import Rows
from model.errors import SproutError

ROOM = 5


@pytest.fixture
def rows_of(tmp_path, build):
    """Rows of prompts with these texts, a list for each file."""

    def rows(files, max_seq_len):
        caches = []
        for number, texts in enumerate(files):
            path = tmp_path / f"{number}.jsonl"
            path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
            caches.append((build(path, kind=KIND, val_ratio=0), None))
        return Rows(KIND, caches, max_seq_len, seed=0)

    return rows


KIND = prompts_for(ROOM, answers=3)
FILES = (["a" * 3, "b" * 9, "c" * 4], ["d" * 2, "e" * 12])


def test_a_prompt_is_kept_where_its_answer_fits(rows_of):
    """A row holds inputs: all tokens of a prompt and of its answer but the last one."""
    every = rows_of(FILES, 200)
    read = every.batch(0, range(every.rows_per_epoch)).prompts
    lengths = {one.messages[0]["content"]: len(one.ids) for one in read}
    assert sorted(lengths) == sorted(text for texts in FILES for text in texts)
    shortest, longest = min(lengths.values()), max(lengths.values())
    for row_length in range(shortest + ROOM + 2, longest + ROOM + 1):
        rows = rows_of(FILES, row_length)
        fitting = {text for text, length in lengths.items() if length + ROOM - 1 <= row_length}
        found = rows.batch(0, range(rows.rows_per_epoch)).prompts
        assert sorted(one.messages[0]["content"] for one in found) == sorted(fitting)
        assert (rows.packed.records_kept, rows.packed.left_out) == (len(fitting), 5 - len(fitting))
        assert rows.tokens_per_epoch == len(fitting) * ROOM * 3
        for texts, line in zip(FILES, rows.packed.summary(0, 1, 1) + rows.packed.summary(1, 1, 1)):
            kept = sum(text in fitting for text in texts)
            assert f": {kept} prompts, {len(texts) - kept} left out as too long" in line


def test_the_advised_row_length_is_the_least_that_leaves_out_none(rows_of):
    every = rows_of(FILES, 200)
    longest = max(len(one.ids) for one in every.batch(0, range(every.rows_per_epoch)).prompts)
    needed = longest + ROOM - 1  # it is in the second file
    (warning,) = rows_of(FILES, needed - 1).packed.warnings()
    with pytest.raises(SproutError, match=f"1.jsonl: no prompt leaves {ROOM} tokens to its answer") as error:
        rows_of((FILES[0], FILES[1][1:]), needed - 1)
    for said in (warning, str(error.value)):
        assert f": --max_seq_len {needed} is enough for all" in said
    assert rows_of(FILES, needed).packed.left_out == 0


@pytest.mark.parametrize("count, warns", [(9, True), (10, False)])
def test_more_than_a_tenth_left_out_is_warned_of(rows_of, count, warns):
    rows = rows_of([[f"{number:02}" for number in range(count - 1)] + ["too long" * 9]], 60)
    assert rows.packed.left_out == 1 and len(rows.packed.warnings()) == warns
