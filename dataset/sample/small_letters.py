"""Texts in which names stand in small letters, as hurried people write them: `capital of france`.

A network reads `France` and `france` as different tokens. These texts put the small letters before a sentence that has
the name as it should be, so that it learns that both are the same. Only English has capital letters.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from dataset.sample.documents import sentence
from dataset.sample.grammar import fill, joined
from dataset.sample.loader import Lines, read_wordings
from dataset.sample.world import Fact, World

NOTES = 5  # how often each fact about a name is noted
NAMED = ("capital", "home", "job", "pet", "moral")  # skills whose entities have capital letters


@dataclass(frozen=True)
class SmallLetters:
    """Wordings of notes (wordings/en/small_letters.yaml)."""

    notes: Annotated[Lines, "subject", "sentence"]


def notes(world: World) -> Iterator[str]:
    """Documents of two to five notes, each about a fact whose entity is a name."""
    rng = world.rng("small letters")
    facts = [fact for fact in world.facts if fact.language == "en" and fact.skill in NAMED]
    for _ in range(NOTES):
        rng.shuffle(facts)
        start = 0
        while start < len(facts):
            size = rng.randint(2, 5)
            yield joined("en", [_note(rng, fact) for fact in facts[start : start + size]])
            start += size


def _note(rng: random.Random, fact: Fact) -> str:
    form = fact.wordings.name if rng.random() < 0.5 else fact.wordings.topic
    wording = rng.choice(read_wordings("small_letters", "en", SmallLetters).notes)
    text = sentence(fact, rng.choice(fact.wordings.texts))
    return wording.format(subject=fill(form, fact.entity).lower(), sentence=text)
