"""What the report says in words and figures."""

import pytest

from dataset.prepare import pictures
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


def test_beside_long_names_of_sources_the_names_of_rules_are_whole(monkeypatch):
    figures = []
    monkeypatch.setattr(pictures, "svg", lambda figure, name: figures.append(figure))
    rules = ["more than its weight", "near-duplicate", "letters", "stop words", "characters of duplicate lines"]
    counts = {"read": 9, "kept": 5, "more than its weight": 4}
    pictures.dropped_picture({"crawled/in_may/pages_of_the_forum_of_the_town.jsonl": counts}, rules)
    figure = figures[0]
    figure.draw_without_rendering()
    (legend,) = [*figure.legends, *filter(None, [axes.get_legend() for axes in figure.axes])]
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width
