"""Text from tokens as they come: all of it, and never half of a character."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.text_stream import TextStream
from model.text.tokenizer import Tokenizer
from tests.support import examples


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.load()


def streamed(tokenizer, ids):
    text = TextStream(tokenizer.decode)
    pieces = [text.push(token) for token in ids]
    return pieces, text.finish()


@settings(max_examples=examples(200))
@given(text=st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("中文，。👩\u200d👧🌱 aé\n龘"))))
def test_pieces_are_the_whole_text(tokenizer, text):
    pieces, rest = streamed(tokenizer, tokenizer.encode(text))
    assert "".join(pieces) + rest == text


@settings(max_examples=examples(200))
@given(ids=st.lists(st.integers(0, 600)))
def test_pieces_of_random_tokens_are_their_decoding(tokenizer, ids):
    """Low ids are control tokens and single bytes: mostly not UTF-8."""
    pieces, rest = streamed(tokenizer, ids)
    assert "".join(pieces) + rest == tokenizer.decode(ids)


def test_half_a_character_is_not_shown(tokenizer):
    ids = tokenizer.encode("新芽🌱龘!")
    pieces, rest = streamed(tokenizer, ids)
    assert len(ids) > len("新芽🌱龘!") and "" in pieces  # some character takes several tokens
    assert "\ufffd" not in "".join(pieces) and rest == ""
    cut, rest = streamed(tokenizer, tokenizer.encode("🌱")[:-1])
    assert "".join(cut) == "" and rest == "\ufffd"


def test_a_space_in_front_of_a_word_is_not_lost():
    """SentencePiece's decoders drop a space at the very beginning; the pieces must not each lose one."""
    words = {1: "▁Once", 2: "▁upon", 3: "▁a", 4: "▁time"}

    def decode(ids):
        return "".join(words[i] for i in ids).replace("▁", " ").removeprefix(" ")

    text = TextStream(decode)
    assert [text.push(i) for i in (1, 2, 3, 4)] + [text.finish()] == ["Once", " upon", " a", " time", ""]
