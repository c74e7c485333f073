"""Lessons in capital letters: `Write with capital letters: france, anna` gets `France, Anna.`

A network reads `France` and `france` as different tokens. Fine-tuning asks only about a part of the names, so of the
others it would never learn what they look like in small letters. Nothing is asked about them here but this.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from dataset.sample.grammar import COMMA, FULL_STOP
from dataset.sample.loader import Lines, read_wordings
from dataset.sample.questions import record
from dataset.sample.world import World

NAMED = ("capital", "home", "moral")  # skills whose entities are names
LESSONS = 6  # on each name


@dataclass(frozen=True)
class SpellingWordings:
    """wordings/en/spelling.yaml."""

    one: Annotated[Lines, "name"]
    several: Annotated[Lines, "names"]


def spelling(world: World) -> Iterator[dict]:
    """Chat records about one to four names each."""
    rng, wordings = world.rng("spelling"), read_wordings("spelling", "en", SpellingWordings)
    names = [fact.entity for fact in world.facts if fact.language == "en" and fact.skill in NAMED]
    for _ in range(LESSONS):
        rng.shuffle(names)
        start = 0
        while start < len(names):
            some = names[start : start + rng.choice((1, 2, 3, 4))]
            start += len(some)
            right = COMMA["en"].join(some)
            if len(some) == 1:
                asked = rng.choice(wordings.one).format(name=right.lower())
            else:
                asked = rng.choice(wordings.several).format(names=right.lower())
            yield record("spelling", "en", [asked, right + FULL_STOP["en"]])
