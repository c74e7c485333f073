"""Where a written answer ends, and what of its text was held back until then."""

from types import SimpleNamespace

import pytest

from inference.running_texts import RunningText, completed
from model.config import TransformerConfig
from model.errors import SproutError
from model.running_batch import Row, RunningBatch
from model.sampling import GREEDY
from tests.stages.table import SHAPE
from tests.support import random_network

END = 0


def decode(ids: list[int]) -> str:
    """As a byte-level tokenizer does."""
    return bytes(ids).decode("utf-8", "replace")


def written(content: bytes, stops=("####", "\n"), most=100) -> tuple[str, int, bool]:
    """The text of an answer whose tokens are these bytes, how many of them were taken, and whether it has ended."""
    row = SimpleNamespace(newest=None)
    one = RunningText(0, row, decode, end_ids={END}, max_new_tokens=most, stops=stops)
    for count, byte in enumerate(content, 1):
        row.newest = SimpleNamespace(id=byte)
        if one.take():
            assert one.tokens == count
            return one.text, count, one.ended
    raise AssertionError("it has no end")


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"so 4\0more", ("so 4", 5)),
        (b"so 4\nmore", ("so 4", 5)),
        (b"so #### 4", ("so ", 7)),
        (b"so ##\0", ("so ##", 6)),  # what may have begun a stop string and did not
        ("é\0".encode(), ("é", 3)),
        (b"so \xc3\0", ("so \ufffd", 5)),  # a character that never became whole
        (b"##\xc3\0", ("##\ufffd", 4)),
    ],
)
def test_it_ends_with_an_end_or_a_stop_string_which_are_no_part_of_it(content, expected):
    assert written(content) == (*expected, True)


def test_what_a_token_has_behind_a_stop_string_is_no_part_of_it():
    """Not even the beginning of a character, whose rest the network would have written."""
    row = SimpleNamespace(newest=SimpleNamespace(id=7))
    one = RunningText(0, row, lambda ids: "so 4\n\ufffd", end_ids={END}, max_new_tokens=9, stops=("\n",))
    assert one.take() and one.text == "so 4"


def test_it_ends_at_the_most_tokens_with_all_that_they_spell():
    assert written(b"so ## 4 and on", most=5) == ("so ##", 5, False)
    assert written(b"so \xe6\x96\xb0", most=4) == ("so \ufffd", 4, False)


def test_no_more_texts_than_there_are_slots_are_written_at_once(monkeypatch):
    """The memory of keys and values follows from it."""
    network, widths = random_network(TransformerConfig(vocab_size=40, **SHAPE)), []
    step = RunningBatch.step
    monkeypatch.setattr(RunningBatch, "step", lambda batch: widths.append(len(batch.rows)) or step(batch))
    lengths = [1, 3, 2, 5, 1, 4, 2]
    texts = [
        RunningText(place, Row([5, 6], GREEDY), decode, end_ids=(), max_new_tokens=most)
        for place, most in enumerate(lengths)
    ]
    found = list(completed(network.eval(), texts, slots=2))
    assert sorted(one.place for one in found) == list(range(7)) and [one.tokens for one in texts] == lengths
    # The first token of each is that of its prompt; the others fill steps of two, until a single text is left.
    assert sum(widths) == sum(length - 1 for length in lengths) and max(widths) == 2


def test_numbers_that_are_none_are_an_error():
    with pytest.raises(SproutError, match="not numbers"):
        RunningText(0, SimpleNamespace(newest=None), decode, end_ids={END}, max_new_tokens=9).take()
