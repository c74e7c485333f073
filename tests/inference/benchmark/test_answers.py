"""Where a written answer ends, and what of its text was held back until then."""

from types import SimpleNamespace

import pytest

from inference.benchmark.answers import _Writing
from model.errors import SproutError

END = 0


def decode(ids: list[int]) -> str:
    """As a byte-level tokenizer does."""
    return bytes(ids).decode("utf-8", "replace")


def written(content: bytes, stops=("####", "\n"), most=100) -> tuple[str, int]:
    """The text of an answer whose tokens are these bytes, and how many of them were taken."""
    row = SimpleNamespace(newest=None)
    one = _Writing(0, row, decode, stops)
    for count, byte in enumerate(content, 1):
        row.newest = SimpleNamespace(id=byte)
        if one.take({END}, most):
            return one.text, count
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
    assert written(content) == expected


def test_it_ends_at_the_most_tokens_with_all_that_they_spell():
    assert written(b"so ## 4 and on", most=5) == ("so ##", 5)
    assert written(b"so \xe6\x96\xb0", most=4) == ("so \ufffd", 4)


def test_numbers_that_are_none_are_an_error():
    with pytest.raises(SproutError, match="not numbers"):
        _Writing(0, SimpleNamespace(newest=None), decode, ()).take({END}, 9)
