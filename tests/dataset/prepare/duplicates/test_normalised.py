"""What two texts are compared by, against Python's own string functions."""

import random

import pytest

from dataset.prepare.duplicates.normalised import END, compared_characters, text_key
from tests.dataset.prepare.duplicates.texts import characters_of

PLAIN = [chr(code) for code in range(0x20, 0x250)]
ALL = [chr(code) for code in range(0x110000)]
# White space of every kind, full and half width, marks, letters of Hangul, sigma, a surrogate, what becomes several.
AWKWARD = list(" \n\t\u3000\x1c\x85\x00.,aAéΣς一。，：…½①ＡﾞｶﾡİĲß\u0301\u1100\u1161\u11a8가\ufe0f\ud800ﬁ" + chr(END))


@pytest.mark.parametrize("letters", [PLAIN, ALL, AWKWARD], ids=["plain", "all", "awkward"])
def test_characters_by_the_table_are_those_of_strings(letters):
    rng = random.Random(0)
    for _ in range(700):
        texts = ["".join(rng.choices(letters, k=rng.randint(0, 12))) for _ in range(rng.randint(0, 4))]
        expected = "".join(characters_of(text.replace(chr(END), " ")) + chr(END) for text in texts)
        assert "".join(map(chr, compared_characters(texts))) == expected, ascii(texts)


def test_key_does_not_see_case_space_and_width():
    assert text_key("Ｈello,\n\n  WORLD ") == text_key("hello, world")
    assert text_key("你好，世界。") == text_key("你好,世界。 ")
    assert text_key("hello, world") != text_key("hello world"), "punctuation counts for an exact duplicate"
    assert text_key("") == text_key(" \n") != text_key("a")
    assert len(text_key("a")) == 16
