"""Passages that two texts share: words, Chinese characters, and texts of both."""

import random

import pytest

from dataset.passages import Passages, fills_a_passage

ENGLISH = "the quick brown fox jumps over one lazy dog while nine old cats watch from a warm roof"
CHINESE = "".join(chr(0x4E00 + i) for i in range(60))


def stands_in(item: str, text: str) -> bool | None:
    """None: the item says too little to tell."""
    passages = Passages()
    return passages.found_in(text) == {"item"} if passages.add(item, "item") else None


@pytest.mark.parametrize(
    ("item", "text", "expected"),
    [
        (ENGLISH, f"He said: {ENGLISH.upper()}!", True),
        (f"{ENGLISH} (汉语)", f"He said: {ENGLISH.upper()}!", True),  # one Chinese word hides nothing
        (f"汉语 {ENGLISH}", f"{ENGLISH}汉", True),
        (ENGLISH, ENGLISH.replace("dog", "中"), False),  # 8 and 9 words in a row
        (
            f"{CHINESE} Please choose the correct answer below",
            "下面 Please choose the correct answer below 谢谢",
            False,
        ),
        (CHINESE, f"a{CHINESE[7:37]}b", True),
        (CHINESE, f"a{CHINESE[7:36]}b", False),
        (f"第1题：{CHINESE[:28]}", f"第 1 题，{CHINESE[:28]}。", True),
        # 6 words and 16 characters weigh 6/13 + 16/30, a little less than one; another character makes it whole.
        (f"{ENGLISH} {CHINESE}", f"an old cats watch from a warm roof{CHINESE[:16]}", True),
        (f"{ENGLISH} {CHINESE}", f"cats watch from a warm roof{CHINESE[:16]}", False),
        (f"{ENGLISH} {CHINESE}", f"cats watch from a warm roof{CHINESE[:17]}", True),
        ("five short words all there", "and five short words all there", True),
        ("five short words all there", "and five short words all thereof", False),
        ("A café’s naïve ﬁrst ﬂoor", "a cafe\u0301's nai\u0308ve first floor, ＡＢＣ", True),
        ("第12题：ＡＢＣ三点在一条直线上", "第１２题：ABC三点在一条直线上", True),
        ("four words say nothing", "four words say nothing", None),
        (CHINESE[:10], CHINESE, True),
        (CHINESE[:9], CHINESE, None),
    ],
)
def test_what_two_texts_have_in_common(item, text, expected):
    assert stands_in(item, text) is expected


def test_a_text_of_one_passage_fills_it():
    assert fills_a_passage(CHINESE[:30]) and not fills_a_passage(CHINESE[:29])
    assert fills_a_passage(" ".join("abcdefghijklm")) and not fills_a_passage(" ".join("abcdefghijkl"))


def test_against_a_search_of_every_run():
    """Texts of few different words and characters, so that many runs are shared and many nearly are."""
    draw = random.Random(3)

    def text(length: int) -> list[str]:
        return [draw.choice(["a", "b", "中", "国"]) for _ in range(length)]

    def weight(units) -> int:
        return sum(13 if unit > "z" else 30 for unit in units)

    found = []
    for _ in range(300):
        item, other = text(draw.randint(4, 40)), text(draw.randint(4, 60))
        cut = draw.randint(0, len(other))
        other = other[:cut] + item[draw.randint(0, 9) :][: draw.randint(9, 40)] + other[cut:]
        needed = min(390, weight(item))
        runs = {
            tuple(item[i:j]) for i in range(len(item)) for j in range(i, len(item) + 1) if weight(item[i:j]) >= needed
        }
        expected = any(tuple(other[i:j]) in runs for i in range(len(other)) for j in range(i, len(other) + 1))
        joined = [" ".join(units) for units in (item, other)]
        found.append(stands_in(*joined))
        assert found[-1] is (expected if weight(item) >= 130 else None)
        assert fills_a_passage(joined[0]) == (weight(item) >= 390)
    assert min(found.count(each) for each in (True, False, None)) > 5
