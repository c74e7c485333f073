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

_FENCE = re.compile(r"(```|~~~)(.*)")
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
    measured = Measured(text if rules == "code" else without_code(text))
    name = rules if rules == "code" else f"{rules}_in_{'characters' if measured.by_characters else 'words'}"
    for rule, limits in thresholds()[name].items():
        value = _value(measured, rule)
        if value is None:
            continue
        for side, threshold in limits.items():
            if value < threshold if side == "at_least" else value > threshold:
                return Verdict(rule.replace("_", " "), value, threshold)
    return Verdict(None)


def without_code(text: str) -> str:
    """The text without what stands between fences: code in prose is not prose. A fence that nothing closes is text."""
    if "```" not in text and "~~~" not in text:
        return text
    lines = text.split("\n")
    fences = [(number, found) for number, line in enumerate(lines) if (found := _FENCE.match(line))]
    closing = {found[1]: number for number, found in fences if not found[2].strip()}  # the last of each kind
    within, kind, begin = set(), None, 0
    for number, found in fences:
        if kind is None and closing.get(found[1], -1) > number:
            kind, begin = found[1], number
        elif kind == found[1] and not found[2].strip():
            within.update(range(begin, number + 1))
            kind = None
    return "\n".join(line for number, line in enumerate(lines) if number not in within)


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
