"""Conversations in which the user tells something and asks for it a turn later.

`My name is Molly. ... What is my name?`
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from dataset.sample.fact_wordings import Split
from dataset.sample.loader import LANGUAGES, Lines, read_wordings
from dataset.sample.outside import made_up, unheard
from dataset.sample.questions import record
from dataset.sample.world import World, said_by_users

CONVERSATIONS = 1400  # to fine-tune on, in each language
HELD_CONVERSATIONS = 14  # held out, in each language and of each kind
ANYTHING = 400  # more to fine-tune on, in each language, about words that come once or twice
MADE_UP_SHARE = 0.4  # of the words in them

_TOLD = ("name", "food", "town", "word")


@dataclass(frozen=True)
class Recall:
    """One thing to tell and to ask for (an entry of wordings/<language>/recall.yaml)."""

    told: Annotated[Split, *_TOLD]
    replies: Annotated[Lines, *_TOLD]
    questions: Annotated[Split, *_TOLD]
    answer: Annotated[str, *_TOLD]


def recalls(language: str) -> dict[str, Recall]:
    return read_wordings("recall", language, dict[str, Recall])


def recalled(world: World, rng: random.Random, held: bool, times: int = 1) -> Iterator[dict]:
    """Chat records; what is told in held-out conversations is never told in fine-tuning. times: as many of them."""
    for language in LANGUAGES:
        # The letters are part of the seed of a split: with others, other words would be held out.
        names, foods, towns = (
            world.split(f"recall {letter} {language}", items)[held]
            for letter, items in zip("nft", said_by_users(world, language), strict=True)
        )
        values = {"name": names, "food": foods, "town": towns, "word": _words_of_questions(world, language, held)}
        kinds = recalls(language).values()
        for kind in kinds:
            for _ in range(times * (HELD_CONVERSATIONS if held else CONVERSATIONS // len(kinds))):
                said = {key: rng.choice(items) for key, items in values.items()}
                turns = (
                    rng.choice(kind.told.of(held)),
                    rng.choice(kind.replies),
                    rng.choice(kind.questions.of(held)),
                    kind.answer,
                )
                yield record("recall", language, [turn.format(**said) for turn in turns])


def recalled_anything(world: World) -> Iterator[dict]:
    """Chat records about names, foods, towns and words of any kind, made-up ones among them.

    The lists of `recalled` are short: a network that has seen only them learns what users usually say, and does not
    look at what this one said.
    """
    rng = world.rng("recall anything")
    like = {"name": "home", "food": "translation", "town": "capital", "word": "colour"}  # skills about such names
    for language in LANGUAGES:
        kinds = list(recalls(language).values())
        for number in range(ANYTHING):
            said = {
                key: made_up(language, False, key in ("name", "town"), rng)
                if rng.random() < MADE_UP_SHARE
                else unheard(world, language, skill, rng)
                for key, skill in like.items()
            }
            kind = kinds[number % len(kinds)]
            turns = (
                rng.choice(kind.told.fine_tuning),
                rng.choice(kind.replies),
                rng.choice(kind.questions.fine_tuning),
                kind.answer,
            )
            yield record("recall", language, [turn.format(**said) for turn in turns])


def _words_of_questions(world: World, language: str, held: bool) -> list[str]:
    """Words that some held-out question is about, or those that none is about; no people and no tales."""
    asked: dict[bool, list[str]] = {True: [], False: []}
    for fact in world.facts:
        if fact.language == language and fact.skill not in ("home", "job", "pet", "moral"):
            asked[fact.held].append(fact.entity)
    kept_back = set() if held else set(asked[True])
    return list(dict.fromkeys(word for word in asked[held] if word not in kept_back))
