"""Numbers with their units, at the limits of what is read as one."""

from fractions import Fraction

import pytest

from inference.quantities import LARGEST_EXPONENT, LONGEST, Quantity, read_quantity


@pytest.mark.parametrize(
    "text", ["+-5", "--5", "-$-5", "3百500", "3万2万", "3/0", "零分之一", "一又零分之一", "一亿二万万"]
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
        ("百分之五", 5, "%"),
        ("负百分之五", -5, "%"),
        ("百分之五元", Fraction(1, 20), "yuan"),
    ],
)
def test_what_is_a_number(text, value, unit):
    assert read_quantity(text) == Quantity(Fraction(value), unit)


def test_lengths_and_exponents_are_limited():
    assert read_quantity("1" * LONGEST) == Quantity(Fraction(int("1" * LONGEST)))
    assert read_quantity("1" * (LONGEST + 1)) is None
    for sign in ("", "-"):
        value = Fraction(10) ** int(f"{sign}{LARGEST_EXPONENT}")
        assert read_quantity(f"1e{sign}{LARGEST_EXPONENT}") == Quantity(value)
        assert read_quantity(f"1e{sign}{LARGEST_EXPONENT + 1}") is None
