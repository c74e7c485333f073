"""--first_turn: what follows the first answer of a conversation is neither read nor trained, and is counted."""

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
    long = write_chats(
        tmp_path / "long.jsonl", [[QUESTION, ANSWER, *MORE], [SYSTEM, QUESTION, ANSWER], [QUESTION, ANSWER]]
    )
    short = write_chats(tmp_path / "short.jsonl", [[QUESTION, ANSWER], [SYSTEM, QUESTION, ANSWER], [QUESTION, ANSWER]])
    cut, whole = build(long, kind=FIRST_TURNS, val_ratio=0.0), build(short, kind=CHATS, val_ratio=0.0)
    assert cut.tokens == whole.tokens and cut.train.size.trained == whole.train.size.trained
    rows = [
        Rows(kind, [(cache, None)], 64, seed=0).batch(0, range(1))
        for kind, cache in ((FIRST_TURNS, cut), (CHATS, whole))
    ]
    assert rows[0].tokens.tolist() == rows[1].tokens.tolist() and rows[0].targets.tolist() == rows[1].targets.tolist()
    assert "left out what follows the first answer in 1 of them" in cut.contents()
    assert build(long, kind=CHATS, val_ratio=0.0).tokens > cut.tokens  # a cache of its own
