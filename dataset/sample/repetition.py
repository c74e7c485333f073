"""Texts in which somebody says again what was just said: words on a board, a memory game.

An answer takes up the words of its question, whatever they are. These texts show that for every name and word of the
world, alone and in lists.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from dataset.sample.grammar import COMMA, capitalised, joined
from dataset.sample.loader import LANGUAGES, Lines, read_wordings
from dataset.sample.world import World, said_by_users

REPETITIONS = 8  # how often each word is repeated


@dataclass(frozen=True)
class RepetitionWordings:
    """Wordings of one language (wordings/<language>/repetition.yaml)."""

    alone: Annotated[Lines, "word"]
    lists: Annotated[Lines, "words"]


def repetitions(world: World) -> Iterator[str]:
    """Documents of one to three short repetitions."""
    rng = world.rng("repetitions")
    for language in LANGUAGES:
        said = [each for _ in range(REPETITIONS) for each in _said_again(rng, language, words(world, language))]
        rng.shuffle(said)
        while said:
            size = rng.randint(1, 3)
            yield joined(language, said[:size])
            del said[:size]


def words(world: World, language: str) -> list[str]:
    """Everything that somebody may ask about or speak of, in one language, each once."""
    spoken = [fact.entity for fact in world.facts if fact.language == language]
    names, foods, towns = said_by_users(world, language)
    return list(dict.fromkeys([*spoken, *names, *foods, *towns]))


def _said_again(rng: random.Random, language: str, items: list[str]) -> Iterator[str]:
    """Every item once, alone or in a list."""
    items = rng.sample(items, len(items))
    wordings = read_wordings("repetition", language, RepetitionWordings)
    while items:
        if rng.random() < 0.7:
            text = rng.choice(wordings.alone).format(word=items.pop())
        else:
            size = rng.randint(2, 5)
            text = rng.choice(wordings.lists).format(words=COMMA[language].join(items[-size:]))
            del items[-size:]
        yield capitalised(text)
