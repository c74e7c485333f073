"""Where a written answer ends, and what of its text was held back until then."""

from types import SimpleNamespace

import pytest

from inference.running_texts import RunningText
from model.errors import SproutError

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


def test_it_ends_at_the_most_tokens_with_all_that_they_spell():
    assert written(b"so ## 4 and on", most=5) == ("so ##", 5, False)
    assert written(b"so \xe6\x96\xb0", most=4) == ("so \ufffd", 4, False)


def test_numbers_that_are_none_are_an_error():
    with pytest.raises(SproutError, match="not numbers"):
        RunningText(0, SimpleNamespace(newest=None), decode, end_ids={END}, max_new_tokens=9).take()
