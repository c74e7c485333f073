"""Text from tokens as they come: all of it, and never half of a character."""

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers

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


def places(tokenizer, ids) -> list[int]:
    text = TextStream(tokenizer.decode)
    for token in ids:
        text.push(token)
    return text.places


def test_a_token_behind_a_broken_character_begins_behind_it(tokenizer):
    half, of_four = tokenizer.encode("龘")[:1], tokenizer.encode("🦥")[:2]
    ids = [*tokenizer.encode("ab"), *half, *tokenizer.encode(" cat")]
    assert tokenizer.decode(ids[:3]) == "ab\ufffd c" and places(tokenizer, ids) == [0, 2, 3, 5]
    assert len(of_four) == 2 and tokenizer.decode(of_four) == "\ufffd"
    assert places(tokenizer, [*of_four, *half, *tokenizer.encode("龘 c")]) == [0, 0, 1, 2, 2, 3]
    assert places(tokenizer, [*half] * 6 + tokenizer.encode("a")) == [0, 1, 2, 3, 4, 5, 6]


def test_bytes_that_are_decoded_one_by_one_have_the_place_of_their_character():
    """As a tokenizer with byte tokens decodes them: a broken character is one U+FFFD for each of its bytes."""

    def decode(ids):
        data = bytes(ids)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            broken = 1 if error.end < len(data) else len(data) - error.start
            return data[: error.start].decode() + "\ufffd" * broken + decode(ids[error.start + broken :])

    text = TextStream(decode)
    pieces = [text.push(token) for token in b"a" + "新".encode() + "芽".encode()[:2] + b"b"]
    assert "".join(pieces) + text.finish() == "a新\ufffd\ufffdb" and text.places == [0, 1, 1, 1, 2, 3, 4]


@settings(max_examples=examples(200))
@given(
    text=st.text(st.one_of(st.characters(codec="utf-8", exclude_characters="\ufffd"), st.sampled_from("新芽🌱 aé\n龘")))
)
def test_characters_of_byte_tokens_in_a_row_are_whole(text):
    """As Llama 2 spells what its vocabulary lacks; its decoder makes U+FFFD of all byte tokens in a row, or of none."""
    names = ["▁", "a", "▁a", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocab = {name: index for index, name in enumerate(names)}
    backend = tokenizers.Tokenizer(models.BPE(vocab, [("▁", "a")], byte_fallback=True))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    ids, stream = backend.encode(text).ids, TextStream(backend.decode)
    pieces, places = [], []
    for token in ids:
        places.append(stream.length)
        pieces.append(stream.push(token))
    assert "".join(pieces) == text.replace("▁", " ") and stream.finish() == ""
    assert stream.places == places


@settings(max_examples=examples(200))
@given(text=st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("中文，。👩\u200d👧🌱 aé\n龘"))))
def test_places_of_whole_characters_are_those_of_their_first_tokens(tokenizer, text):
    ids = tokenizer.encode(text)
    assert places(tokenizer, ids) == [len(tokenizer.decode(ids[:n]).rstrip("\ufffd")) for n in range(len(ids))]


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
