import pytest

from dataset.prepare.cleaning.characters import fix_characters


@pytest.mark.parametrize(
    "text, fixed, changes",
    [
        ("cafe\u0301", "café", {"normal form": 1}),
        ("①２½，ﬁ", "①２½，ﬁ", {}),  # NFC, not NFKC
        ("a\r\nb\rc\u2028d\x0ce", "a\nb\nc\nd\ne", {"newlines": 4}),
        ("a\x00\x07b\x80c\td", "abc\td", {"control characters": 2}),
        ("\ufeffa\xadb\u200bc\u202ed\u202c", "abcd", {"invisible characters": 5}),
        ("a\ue000\U000f0001b", "ab", {"private-use characters": 1}),
        ("a\ufffd\ufffdb\ud800c", "abc", {"damaged characters": 2}),
        ("a\xa0b\u202fc", "a b c", {"spaces": 2}),
        ("　　段落　　里", "　　段落 里", {"spaces": 1}),  # the indentation stays
        ("a\n\n\n\n\nb", "a\n\n\nb", {"blank lines": 1}),
        ("a\n\n\nb", "a\n\n\nb", {}),  # as between functions of Python
        ("\n \n  code\n", "  code", {"blank around the text": 1}),
    ],
)
def test_what_is_no_text_leaves(text, fixed, changes):
    assert fix_characters(text) == (fixed, changes)


@pytest.mark.parametrize(
    "text, kept",
    [
        ("👩\u200d💻", True),  # woman, laptop
        ("👩🏽\u200d🚀", True),  # with a colour of skin
        ("❤\ufe0f\u200d🔥", True),
        ("क्\u200dष", True),  # Devanagari, after a virama
        ("می\u200cخواهم", True),  # Persian
        ("a\u200db", False),
        ("中\u200c文", False),
        ("👩\u200d", False),
    ],
)
def test_joiners_stay_where_a_script_needs_them(text, kept):
    assert (fix_characters(text)[0] == text) is kept
