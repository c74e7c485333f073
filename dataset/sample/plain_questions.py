"""The questions of the world as hurried people type them: short, without capitals or marks, numbers in words.

`capital of japan`, 日本首都, `three plus five`, 三加五等于几. The answers are those to the questions in full.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Annotated

from dataset.sample.fact_wordings import Skill, Split
from dataset.sample.grammar import fill
from dataset.sample.loader import LANGUAGES, read_wordings
from dataset.sample.number_words import in_words
from dataset.sample.questions import answer, question, record, sum_answer, sum_wordings
from dataset.sample.world import Fact, World

SHORT_FORMS, PLAIN_FORMS = 2, 1  # of each fact, in fine-tuning
SUMS_ASKED = 500  # in fine-tuning, in each language
HELD_FACTS = 8  # held-out questions of each skill, in each language, about what fine-tuning asks in other words
HELD_SUMS = 20  # held-out sums, in each language
IN_WORDS_SHARE = 0.6  # of the sums

_ENTITY = ("entity", "an entity")


@dataclass(frozen=True)
class PlainWordings:
    """Short forms of one language (wordings/<language>/plain_questions.yaml)."""

    facts: Annotated[dict[Skill, Split], *_ENTITY]
    sums: Annotated[Split, "a", "b"]


def plain_wordings(language: str) -> PlainWordings:
    return read_wordings("plain_questions", language, PlainWordings)


def plainly(language: str, asked: str, rng: random.Random) -> str:
    """A question that has lost its last mark, in English its capitals, or both."""
    bare = asked.rstrip(".?!。？！")
    if language == "en":
        return rng.choice((bare.lower(), bare.lower(), bare, asked.lower()))
    return rng.choice((bare, bare, bare + "?", asked.removeprefix("请问").rstrip("。？")))


def _in_small_letters(language: str, asked: str, rng: random.Random) -> str:
    """The question as it is, or in English most of the time without capitals, of names too."""
    return asked.lower() if language == "en" and rng.random() < 0.6 else asked


def plain_questions(world: World) -> Iterator[dict]:
    """Chat records about facts that fine-tuning asks for in full, and about sums."""
    rng = world.rng("plain questions")
    forms = {}  # of each skill, in turn, so that all are used
    for language in LANGUAGES:
        for skill, split in plain_wordings(language).facts.items():
            forms[skill, language] = cycle(rng.sample(split.fine_tuning, len(split.fine_tuning)))
    for fact in world.facts:
        if not fact.held:
            for _ in range(SHORT_FORMS):
                asked = fill(next(forms[fact.skill, fact.language]), fact.entity)
                yield _about(fact, _in_small_letters(fact.language, asked, rng))
            for wording in rng.sample(fact.wordings.questions.fine_tuning, PLAIN_FORMS):
                yield _about(fact, plainly(fact.language, question(fact, wording), rng))
    for language in LANGUAGES:
        for pair in rng.sample(world.shown_sums, SUMS_ASKED):
            yield _plain_sum(language, pair, False, rng)


def plain_heldout(world: World) -> list[dict]:
    """Chat records in wordings never trained on: half about facts that fine-tuning asks for in other words, half about
    those that it never asks for, and about sums that are never shown."""
    rng = world.rng("held-out plain questions")
    found = []
    for language in LANGUAGES:
        for skill in plain_wordings(language).facts:
            for held in (False, True):
                facts = [f for f in world.facts if (f.skill, f.language, f.held) == (skill, language, held)]
                for fact in rng.sample(facts, min(HELD_FACTS, len(facts))):
                    if rng.random() < 0.5:
                        asked = fill(rng.choice(plain_wordings(language).facts[skill].held_out), fact.entity)
                        asked = _in_small_letters(language, asked, rng)
                    else:
                        asked = plainly(language, question(fact, rng.choice(fact.wordings.questions.held_out)), rng)
                    found.append(_about(fact, asked))
        found += [_plain_sum(language, pair, True, rng) for pair in rng.sample(world.held_sums, HELD_SUMS)]
    return found


def _about(fact: Fact, asked: str) -> dict:
    return record(fact.skill, fact.language, [asked, answer(fact)])


def _plain_sum(language: str, pair: tuple[int, int], held: bool, rng: random.Random) -> dict:
    a, b = rng.sample(pair, 2)
    if rng.random() < 0.75:
        wording = rng.choice(plain_wordings(language).sums.of(held))
    else:
        wording = plainly(language, rng.choice(sum_wordings(language).questions.of(held)), rng)
    return record("sum", language, [numbers_in(language, wording, a, b, rng), sum_answer(language, a, b)])


def numbers_in(language: str, wording: str, a: int, b: int, rng: random.Random) -> str:
    """A wording with two numbers, as digits or, where the wording is in words too, in words."""
    if rng.random() < IN_WORDS_SHARE and not any(sign in wording for sign in "+*/=-"):
        return wording.format(a=in_words(language, a), b=in_words(language, b))
    return wording.format(a=a, b=b)
