"""--first_turn: what follows the first answer of a conversation is neither read nor trained, and is counted."""

import torch

from dataset.records.conversations import Conversation
from dataset.rows.chats import CHATS
from dataset.rows.first_turns import FIRST_TURNS, first_turn
from dataset.rows.rows import Rows
from tests.dataset.chats import turn, write_chats

QUESTION, ANSWER = turn("user", "one?"), turn("assistant", "1")
MORE = [turn("user", "two?"), turn("assistant", "2")]
SYSTEM = turn("system", "count")


def test_it_ends_before_the_second_question():
    calls = [QUESTION, turn("assistant", "a call"), turn("tool", "a result"), ANSWER]
    assert first_turn(Conversation((SYSTEM, *calls, *MORE))).messages == (SYSTEM, *calls)
    short = Conversation((QUESTION, ANSWER))
    assert first_turn(short) is short


def test_rows_are_those_of_the_short_conversations(tmp_path, build):
    short_chats = [[QUESTION, ANSWER], [SYSTEM, QUESTION, ANSWER], [QUESTION, ANSWER]]
    long = write_chats(tmp_path / "long.jsonl", [[QUESTION, ANSWER, *MORE], *short_chats[1:]])
    short = write_chats(tmp_path / "short.jsonl", short_chats)
    cut, whole = build(long, kind=FIRST_TURNS, val_ratio=0.0), build(short, kind=CHATS, val_ratio=0.0)
    assert cut.tokens == whole.tokens and cut.train.size.trained == whole.train.size.trained
    kinds = ((FIRST_TURNS, cut), (CHATS, whole))
    one, other = (Rows(kind, [(cache, None)], 64, seed=0).batch(0, range(1)) for kind, cache in kinds)
    assert torch.equal(one.tokens, other.tokens) and torch.equal(one.targets, other.targets)
    assert "left out what follows the first answer in 1 of them" in cut.contents()
    assert build(long, kind=CHATS, val_ratio=0.0).tokens > cut.tokens  # a cache of its own
