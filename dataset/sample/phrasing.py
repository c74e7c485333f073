"""Questions put together from parts, so that there are thousands of wordings and an unfamiliar one is nothing unusual.

A network that has seen each question in a few wordings takes an unfamiliar wording for a question that it cannot
answer. What is known and what is not are therefore asked for in the same many ways.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from dataset.sample.fact_wordings import fact_wordings, frames
from dataset.sample.grammar import capitalised, fill
from dataset.sample.loader import LANGUAGES, Lines, read_wordings
from dataset.sample.plain_questions import numbers_in
from dataset.sample.questions import answer, record, sum_answer
from dataset.sample.world import Fact, World

QUESTIONS = 3  # about each fact
SUMS_ASKED = 700  # in each language
EASY_SHARE, EASY = 0.25, 12  # of these, of numbers up to this one, which people try first
BARE_SHARE = 0.25  # of the questions have no opening, and as many no closing
SMALL_SHARE = 0.5  # of those in English have lost their capitals, of names too

FOLLOWED_UP = ("capital", "sound", "young", "colour", "opposite", "translation")


@dataclass(frozen=True)
class Phrasing:
    """The parts in one language (wordings/<language>/phrasing.yaml)."""

    openings: Lines
    questions: Annotated[Lines, "topic"]
    closings: Lines
    further: Annotated[Lines, "name"]
    sums: Annotated[Lines, "a", "b"]
    heard: Annotated[Lines, "name"]
    known: Annotated[str, "name"]
    told: Lines


def phrasing(language: str) -> Phrasing:
    return read_wordings("phrasing", language, Phrasing)


def phrased(language: str, topic: str, rng: random.Random) -> str:
    """A question for a topic, such as `the capital of France` or `3 + 4`."""
    parts, gap = phrasing(language), " " if language == "en" else ""
    asked = rng.choice(parts.questions).replace("{topic}", topic)
    if rng.random() >= BARE_SHARE:
        asked = rng.choice(parts.openings) + gap + asked
    if rng.random() >= BARE_SHARE:
        asked += rng.choice(parts.closings)
    return in_either_case(language, asked, rng)


def in_either_case(language: str, asked: str, rng: random.Random) -> str:
    """In English half of the time all small letters, else with a capital at the beginning."""
    if language == "en":
        return asked.lower() if rng.random() < SMALL_SHARE else capitalised(asked)
    return asked


def topic_of(fact: Fact) -> str:
    return fill(fact.wordings.topic, fact.entity)


def phrased_questions(world: World) -> Iterator[dict]:
    """Chat records about the facts that fine-tuning may ask for, alone and after another, and about sums."""
    rng = world.rng("phrased questions")
    asked = [fact for fact in world.facts if not fact.held]
    for fact in asked:
        for _ in range(QUESTIONS):
            yield record(fact.skill, fact.language, [phrased(fact.language, topic_of(fact), rng), answer(fact)])
    for language in LANGUAGES:
        for skill in FOLLOWED_UP:
            facts = [fact for fact in asked if (fact.skill, fact.language) == (skill, language)]
            for fact in facts:
                before = rng.choice([other for other in facts if other is not fact])
                wording = rng.choice((*phrasing(language).further, *frames(language).further.fine_tuning))
                then = wording.replace("{name}", fill(fact_wordings(language)[skill].name, fact.entity))
                first = phrased(language, topic_of(before), rng)
                yield record("follow_up", language, [first, answer(before), then, answer(fact)])
        easy = [pair for pair in world.shown_sums if max(pair) <= EASY]
        for _ in range(SUMS_ASKED):
            a, b = rng.sample(rng.choice(easy if rng.random() < EASY_SHARE else world.shown_sums), 2)
            named = numbers_in(language, rng.choice(phrasing(language).sums), a, b, rng)
            yield record("sum", language, [phrased(language, named, rng), sum_answer(language, a, b)])
