"""What the report says in words and figures."""

import pytest

from dataset.prepare.judging.judging import thresholds
from dataset.prepare.page import MEANINGS, meaning_of
from dataset.prepare.report import NOT_JUDGED, NOT_LOST, percent


@pytest.mark.parametrize(
    "part, whole, shown",
    [(0, 9, "0.0%"), (1, 3000, "<0.1%"), (2, 3000, "0.1%"), (2999, 3000, ">99.9%"), (3, 3, "100.0%"), (0, 0, "0.0%")],
)
def test_a_share_shows_neither_something_as_nothing_nor_a_part_as_the_whole(part, whole, shown):
    assert percent(part, whole) == shown


def test_every_rule_has_a_meaning():
    rules = {rule.replace("_", " ") for name, own in thresholds().items() if name != "stop_words" for rule in own}
    assert all(map(meaning_of, {*rules, *NOT_JUDGED, *NOT_LOST}))
    assert "sequence of 4 words" in meaning_of("top of 4 grams")
    assert len(MEANINGS) == len({*rules, *NOT_JUDGED, *NOT_LOST} - {rule for rule in rules if "grams" in rule}) + 2
