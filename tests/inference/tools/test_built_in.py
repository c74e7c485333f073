"""The calculator is exact and bounded; the lookup knows the sample world."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.sample.world import World
from inference.tools.calculator import calculator
from inference.tools.lookup import NAMES, lookup

WORKED_OUT = {
    "12 * (3 + 4)": "84",
    "123*456": "56088",
    "0.1 + 0.2": "0.3",
    "1/3": "0.333333333333",
    "6/2": "3",
    "-7 // 2": "-4",
    "-7 % 3": "2",
    "2 ** 10": "1024",
    "2 ** -2": "0.25",
    "2**0.5": "1.41421356237",
    "(-1) ** 999999999999": "-1",
    "10**20 / 3": "3.33333333333e+19",
    "１２×（３＋４）": "84",
    "１．５　－　１": "0.5",
    "1\u00a0+\u202f2\u2009*\u20033": "7",
    "7 ÷ 2 − 1": "2.5",
    "1.5e3": "1500",
}
REFUSED = (
    "",
    "1 +",
    "1, 2",
    "True",
    "1j",
    "x",
    "abs(1)",
    "__import__('os').getcwd()",
    "(lambda: 1)()",
    "[1][0]",
    "1 if 1 else 2",
    "1 < 2",
    "6 ^ 2",
    "1 / 0",
    "0 ** -1",
    "9**9**9",
    "2 ** 99999",
    "10**1000 * 10**1000",
    "1e999",
    "(-8) ** 0.5",
    "9.9 ** 1e300",
    "(" * 100 + "1" + ")" * 100,
    "1" * 300,
    "3²",
    "10⁻²",
    "2①",
    "\0",
)


@pytest.mark.parametrize("expression", WORKED_OUT)
def test_expressions_are_worked_out(expression):
    assert calculator(expression) == WORKED_OUT[expression]


@pytest.mark.parametrize("expression", REFUSED)
def test_anything_else_is_an_error(expression):
    with pytest.raises(ValueError):
        calculator(expression)


SUMS = st.recursive(
    st.integers(0, 999).map(str),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda parts: f"({''.join(parts)})"),
    max_leaves=8,
)


@given(SUMS)
def test_whole_numbers_are_exact(expression):
    assert calculator(expression) == str(eval(expression))  # the test wrote it


@given(st.text("0123456789+-*/%.() e", max_size=40))
def test_any_text_is_a_number_or_an_error(text):
    try:
        assert Fraction(calculator(text)) is not None
    except ValueError:
        pass


def test_every_fact_of_the_world_is_known():
    for fact in World().facts:
        assert lookup(fact.entity, fact.skill) == lookup(fact.entity, NAMES[fact.skill]) == fact.attribute


def test_how_facts_are_asked_for():
    assert lookup("the FRANCE", " Capital ") == lookup("France", "首都") == "Paris"
    assert lookup("法国") == "首都：巴黎" and lookup("dog") == "sound: bark\nyoung: puppy"
    assert lookup("《松鼠与大雪》", "寓意") == "今天要为明天做准备"
    with pytest.raises(ValueError, match="nothing is known of Atlantis"):
        lookup("Atlantis")
    with pytest.raises(ValueError, match="pet of dog is not known, but: sound, young"):
        lookup("dog", "pet")
