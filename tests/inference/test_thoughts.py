"""Thought and answer of a text, at once and as it comes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.thoughts import Said, ThoughtStream, take_apart


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (" Yes. \n", Said("Yes.")),
        ("<think>\nNo?\n</think>\n\nYes.\n", Said("Yes.", "No?")),
        ("\n<think>a</think>b", Said("b", "a")),
        ("<think></think>Yes.", Said("Yes.", "")),
        ("<think>Yes.", Said("", "Yes.", thought_ended=False)),
        ("<think>Yes.</thin", Said("", "Yes.</thin", thought_ended=False)),
        ("I <think> so</think>", Said("I <think> so</think>")),  # only what stands at the beginning
        ("<think>a</think>b</think>c", Said("b</think>c", "a")),
        ("<thin", Said("<thin")),
        ("", Said("")),
    ],
)
def test_a_text_is_taken_apart(text, said):
    assert take_apart(text) == said


PARTS = st.sampled_from(["<think>", "</think>", "<thi", "</thin", "<", "k>", "a", "1 < 2", "\n", " ", "想"])


@given(st.lists(PARTS, max_size=12).map("".join), st.lists(st.integers(0, 60), max_size=12))
def test_wherever_the_pieces_end_the_parts_are_the_same(text, cuts):
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    stream = ThoughtStream()
    shown = [stream.push(text[a:b]) for a, b in itertools.pairwise(places)]
    shown.append(stream.finish())
    thought, answer = ("".join(parts) for parts in zip(*shown))
    said = take_apart(text)
    assert (thought, answer.strip()) == (said.thought or "", said.answer)
    assert stream.thinks == (said.thought is not None)
    if not stream.thinks:
        assert answer == text
    else:
        assert stream.ended == said.thought_ended and answer == answer.lstrip()
    kinds = [bool(answer) for thought, answer in shown if thought or answer]
    assert kinds == sorted(kinds)  # thoughts come first


def test_what_is_sure_is_not_held_back():
    stream = ThoughtStream()
    assert stream.push("<think>\n") == ("", "")
    assert stream.push("3 + 4 < 8") == ("3 + 4 < 8", "")
    assert stream.push(" </th") == ("", "")
    assert stream.push("ink>\n\nYes") == ("", "Yes")
    assert stream.push(" \n") == ("", " \n")
