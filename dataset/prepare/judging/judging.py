"""Whether a document is kept: its measures against the thresholds in thresholds.yaml.

Rules for English on Chinese drop everything: a clause is one "word", all are too long, and none is a stop word. So
prose has two sets of rules, by the script of the text (`Measured`).
"""

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from dataset.prepare.judging.measures import Measured

_FENCED = re.compile(r"^(```|~~~)[^\n]*\n.*?^\1[^\S\n]*$", re.DOTALL | re.MULTILINE)  # code in prose is not prose
_FILE = Path(__file__).with_name("thresholds.yaml")


@dataclass(frozen=True)
class Verdict:
    """rule: by which rule a document is dropped; None if it is kept. value, threshold: what the rule compared."""

    rule: str | None
    value: float = 0.0
    threshold: float = 0.0


def judge(text: str, rules: str = "prose") -> Verdict:
    """The first rule that a text does not pass, in the order of the file. rules: "prose", "code" or "none"."""
    if rules == "none":
        return Verdict(None)
    measured = Measured(text if rules == "code" else _FENCED.sub("", text))
    name = rules if rules == "code" else f"{rules}_in_{'characters' if measured.by_characters else 'words'}"
    for rule, limits in thresholds()[name].items():
        value = _value(measured, rule)
        if value is None:
            continue
        for side, threshold in limits.items():
            if value < threshold if side == "at_least" else value > threshold:
                return Verdict(rule.replace("_", " "), value, threshold)
    return Verdict(None)


def _value(measured: Measured, rule: str) -> float | None:
    measure, _, n = rule.partition("_of_")
    if n.endswith("_grams"):
        return getattr(measured.grams, measure)(int(n.removesuffix("_grams")))
    if rule == "stop_words":
        return measured.stop_words(thresholds()["stop_words"])
    return getattr(measured, rule)()


@functools.cache
def thresholds() -> dict:
    """What thresholds.yaml says."""
    return yaml.safe_load(_FILE.read_text(encoding="utf-8"))
