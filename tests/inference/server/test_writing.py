"""The parts of a text: what is told is final, nothing is told twice, and the last one says why it ended."""

from itertools import product
from types import SimpleNamespace

import pytest

from inference.server.writing import Part, Writing

END = 0


def parts_of(content: bytes, stops=(), most=100, late_at=None) -> list[Part]:
    """The parts of a text whose tokens are these bytes, at the last of which the deadline may be over."""
    row, parts = SimpleNamespace(), []
    settings = {"max_tokens": most, "end_ids": {END}, "stops": stops}
    writing = Writing(row, None, None, lambda ids: bytes(ids).decode("utf-8", "replace"), None, **settings)
    for count, byte in enumerate(content, 1):
        row.newest = SimpleNamespace(id=byte)
        parts.append(writing.take(late=count == late_at))
        if parts[-1].finish:
            return parts
    raise AssertionError("it has no end")


def told_by(parts: list[Part]) -> tuple[str, list[tuple[int, int]]]:
    """The whole text and its tokens with their places; a token is told once its text is certain, except at the end."""
    text, tokens = "", []
    for part in parts:
        text += part.text
        tokens += [(token.id, place) for token, place in part.tokens]
        assert part.finish or all(place < len(text) for _, place in tokens)
    return text, tokens


@pytest.mark.parametrize("stops", [(), ("ab",), ("aa", "bab")])
def test_every_text_of_two_letters_is_told_up_to_its_stop_string(stops):
    for letters in product("ab", repeat=6):
        whole = "".join(letters)
        parts = parts_of(whole.encode() + b"\0", stops)
        # The first stop string is the one whose end comes first.
        ends = [(whole.index(stop) + len(stop), whole.index(stop)) for stop in stops if stop in whole]
        right = whole[: min(ends)[1]] if ends else whole
        tokens = [(ord(letter), place) for place, letter in enumerate(right)]
        assert told_by(parts) == (right, tokens if ends else [*tokens, (END, len(whole))])
        assert [part.finish for part in parts] == [None] * (len(parts) - 1) + ["stop"]
        assert len(parts) == (min(ends)[0] if ends else len(whole) + 1)


@pytest.mark.parametrize(
    "content, how, right, finish",
    [
        (b"so ##\0", {}, "so ##", "stop"),  # what may have begun a stop string and did not
        (b"so ## 4", {"most": 5}, "so ##", "length"),
        (b"so ## 4", {"late_at": 5}, "so ##", "length"),
        (b"so\0", {"late_at": 3}, "so", "stop"),
        (b"so####", {"late_at": 6}, "so", "stop"),
        (b"so \xc3\0", {}, "so \ufffd", "stop"),  # a character that never became whole
        (b"so \xe6\x96\xb0", {"most": 4}, "so \ufffd", "length"),
    ],
)
def test_why_it_ended_and_what_was_held_back(content, how, right, finish):
    parts = parts_of(content, ("####",), **how)
    text, tokens = told_by(parts)
    assert (text, parts[-1].finish) == (right, finish)
    assert [token for token, _ in tokens] == [*content[: len(parts)]][: 2 if content == b"so####" else None]


def test_numbers_that_are_none_are_a_failure_of_the_server():
    part = Writing(SimpleNamespace(newest=None), None, None, bytes, None, max_tokens=9, end_ids={END}).take()
    assert part.failure.status == 500 and "its weights are damaged" in str(part.failure)
