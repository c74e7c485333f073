"""Rows of prompts without answers: only a place is trained, where the answer to the last turn begins."""

import json

import pytest

from dataset.rendering import ChatRenderer
from dataset.rows.rows import Rows
from dataset.rows.unanswered import UNANSWERED
from model.likelihood import IGNORE
from tests.dataset.chats import turn
from training.stages.on_policy import prompts_of

TURNS = [turn("user", "Hi"), turn("assistant", "Hello."), turn("user", "And what now?")]
RECORDS = [{"prompt": "Why?"}, {"conversations": TURNS}]


@pytest.fixture
def caches(tmp_path, build):
    """Those of the records, of one format each."""
    found = []
    for number, record in enumerate(RECORDS):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(json.dumps(record) + "\n")
        found.append((build(path, kind=UNANSWERED, val_ratio=0), None))
    return found


def test_what_is_answered_is_the_last_turn(caches, small_tokenizer):
    renderer, rows = ChatRenderer(small_tokenizer), Rows(UNANSWERED, caches, 100, seed=0)
    batch = rows.batch(0, range(rows.rows_per_epoch))
    prompts = [renderer.prompt(messages) for messages in ([turn("user", "Why?")], TURNS)]
    assert sorted(prompts_of(batch)) == sorted(prompts)
    place = [*small_tokenizer.encode("?"), renderer.end_id]
    assert batch.targets[batch.targets != IGNORE].tolist() == 2 * place


def test_a_chat_without_room_behind_its_last_turn_is_left_out_and_not_answered_earlier(caches, small_tokenizer):
    length = len(ChatRenderer(small_tokenizer).prompt(TURNS))
    for row_length, too_long in ((length - 1, 1), (length, 0)):
        files = [cache for cache, _ in caches]
        packed = UNANSWERED.packed(files, [file.train for file in files], row_length, share_rows=True)
        assert packed.left_out == too_long
        said = packed.describe(1, 0.5, 2.0)
        assert said == [f"  {files[1].source}: 1 prompts, {too_long} left out as too long; 2.00 passes"]
