"""Numbers with their units: what is read as one, and what only looks like it."""

import random
import re
from fractions import Fraction

import pytest

from inference.quantities import LARGEST_EXPONENT, LONGEST, Quantity, last_number, read_quantity


@pytest.mark.parametrize(
    "text",
    [
        *"+-5 --5 -$-5 3百500 3万2万 3/0 零分之一 一又零分之一 一亿二万万 三又四 1,2345".split(),
        *(
            f"5 {word}"
            for word in "and or to not plus minus half third quarter dozen squared cubed pi sqrt point".split()
        ),
        *(f"5{character}" for character in "零一二三四五六七八九十半几多余又和或到至不"),
        "5 factorial",
    ],
)
def test_what_only_looks_like_a_number_is_none(text):
    assert read_quantity(text) is None


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("$-5", -5, "dollar"),
        ("3千500", 3500, ""),
        ("3万2千", 32000, ""),
        ("一万二", 12000, ""),
        ("一亿二", 120_000_000, ""),
        ("百分之五", 5, "%"),
        ("负百分之五", -5, "%"),
        ("百分之五元", Fraction(1, 20), "yuan"),
        ("2 hundred", 200, ""),
        ("3 Thousand", 3000, ""),
        ("4 billion", 4 * 10**9, ""),
        ("5 trillion", 5 * 10**12, ""),
        ("3 hundredweight", 3, "hundredweight"),
        ("6百", 600, ""),
        ("7百万", 7 * 10**6, ""),
        ("8千万", 8 * 10**7, ""),
        ("9万亿", 9 * 10**12, ""),
        ("三点五万", 35000, ""),
        *((f"三千{unit}", 3, f"千{unit}") for unit in "米克瓦卡"),
        ("3千瓦", 3, "千瓦"),
        ("3千卡", 3, "千卡"),
        ("1,234,567,890.25 dollars", Fraction("1234567890.25"), "dollar"),
    ],
)
def test_what_is_a_number(text, value, unit):
    assert read_quantity(text) == Quantity(Fraction(value), unit)


def in_chinese(number: int) -> str:
    """A whole number as it is written, with 零 for the places that are left out in its middle."""
    for size, name in ((10**8, "亿"), (10**4, "万"), (1000, "千"), (100, "百"), (10, "十")):
        if number >= size:
            high, low = divmod(number, size)
            gap = "零" if 0 < low < size // 10 else ""
            return in_chinese(high) + name + gap + (in_chinese(low) if low else "")
    return "零一二三四五六七八九"[number]


def test_whole_numbers_in_chinese_numerals():
    assert in_chinese(120_000_305) == "一亿二千万零三百零五"
    chance = random.Random(0)
    for number in (chance.randrange(10 ** chance.randint(1, 12)) for _ in range(500)):
        text = in_chinese(number)
        assert read_quantity(text) == Quantity(Fraction(number)) and last_number(f"共{text}个") == text
        assert read_quantity(f"负{text}个") == Quantity(Fraction(-number), "个")
        assert read_quantity(re.sub("^一十", "十", text)) == Quantity(Fraction(number))


@pytest.mark.parametrize(
    "spellings",
    [
        ("$5", "5$", "5 dollars", "5 USD", "5 bucks", "5美元"),
        ("¥5", "5 yuan", "5 RMB", "5 CNY", "5元", "5块", "5块钱", "5元钱", "5人民币"),
        ("€5", "5 euros", "5 EUR", "5欧元"),
        ("£5", "5 pounds", "5 GBP", "5英镑"),
        ("5%", "5 percent", "5 per cent", "百分之五"),
        ("5°", "5 degrees", "5度"),
        ("5 km/hour", "5 km / hours"),
    ],
)
def test_names_of_one_unit(spellings):
    assert len({read_quantity(text) for text in spellings}) == 1


@pytest.mark.parametrize("one, other", [("5 ms", "5 m"), ("$5", "¥5"), ("5 km", "5千米"), ("5°", "5%")])
def test_units_are_words_and_none_is_converted(one, other):
    assert not read_quantity(one).same(read_quantity(other))
    assert read_quantity(one).same(read_quantity("5")) and read_quantity("5").same(read_quantity(other))


def test_lengths_and_exponents_are_limited():
    assert read_quantity("1" * LONGEST) == Quantity(Fraction(int("1" * LONGEST)))
    assert read_quantity("1" * (LONGEST + 1)) is None
    for sign in ("", "-"):
        value = Fraction(10) ** int(f"{sign}{LARGEST_EXPONENT}")
        assert read_quantity(f"1e{sign}{LARGEST_EXPONENT}") == Quantity(value)
        assert read_quantity(f"1e{sign}{LARGEST_EXPONENT + 1}") is None
