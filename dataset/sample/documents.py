"""The texts to pretrain on: every fact many times, in many wordings, spread over different documents."""

import random
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from dataset.sample.fact_wordings import FactWordings, fact_wordings
from dataset.sample.grammar import FULL_STOP, capitalised, fill, joined, listed
from dataset.sample.loader import LANGUAGES, Lines, read_wordings
from dataset.sample.people import people_wordings, portrait
from dataset.sample.questions import equation, sum_answer, sum_wordings
from dataset.sample.repetition import repetitions
from dataset.sample.tales import Tale
from dataset.sample.world import Fact, World, said_by_users

# How often a fact is stated, a person portrayed, a tale told, a name introduced, a sum shown in either order.
EXPOSURES = 20
MORE_EXPOSURES = {"sound": 32, "young": 32}  # these facts are few and unlike each other
PORTRAITS = 8
TELLINGS = 10
INTRODUCTIONS = 8
SHEETS_OF_SUMS = 3
IN_MIXED = 0.35  # this share of the statements of facts is in documents that mix everything


@dataclass(frozen=True)
class Mentions:
    """Sentences that name somebody or something before it is spoken of (wordings/<language>/mentions.yaml).

    They teach the network to go on about what was named. Without them it learns the facts, but when it is asked about
    one for the first time, it tells another.
    """

    of_one: Annotated[Lines, "subject", "sentence"]
    of_several: Annotated[Lines, "subjects"]


def mentions(language: str) -> Mentions:
    return read_wordings("mentions", language, Mentions)


def documents(world: World) -> list[str]:
    """All documents of the world, shuffled."""
    found = [
        *_documents_of_facts(world),
        *_portraits(world),
        *_tales(world),
        *_introductions(world),
        *repetitions(world),
        *_sums(world),
    ]
    world.rng("order of documents").shuffle(found)
    return found


def statements(world: World) -> list[str]:
    """The documents about facts and people alone."""
    return [*_documents_of_facts(world), *_portraits(world)]


def sentence(fact: Fact, wording: str) -> str:
    """A wording about a fact, with a capital letter."""
    return capitalised(fill(wording, fact.entity, fact.attribute))


def _documents_of_facts(world: World) -> Iterator[str]:
    """Documents about one thing, as sentences or as a list, and documents that mix everything of a language."""
    rng, mixed = world.rng("documents"), defaultdict(list)
    groups = defaultdict(list)
    for fact in world.facts:
        groups[fact.language, fact.skill].append(fact)
    for (language, skill), facts in groups.items():
        wordings = fact_wordings(language)[skill]
        for _ in range(MORE_EXPOSURES.get(skill, EXPOSURES)):
            rng.shuffle(facts)
            cut = round(IN_MIXED * len(facts))
            mixed[language] += [
                _mentioned(rng, fact, sentence(fact, rng.choice(wordings.texts))) for fact in facts[:cut]
            ]
            for chunk in _chunks(rng, facts[cut:], 3, 7):
                yield _about_one_thing(rng, language, wordings, chunk)
    for language, sentences in mixed.items():
        rng.shuffle(sentences)
        for chunk in _chunks(rng, sentences, 3, 7):
            yield joined(language, chunk)


def _about_one_thing(rng: random.Random, language: str, wordings: FactWordings, facts: list[Fact]) -> str:
    style = rng.random()
    if style < 0.1:
        sign = rng.choice((": ", " - "))
        return "\n".join([wordings.heading, *(f"{fact.entity}{sign}{fact.attribute}" for fact in facts)])
    body = [sentence(fact, rng.choice(wordings.texts)) for fact in facts]
    if style < 0.2:
        return "\n".join([wordings.heading, *body])
    if style < 0.4:
        names = listed(language, [fill(wordings.name, fact.entity) for fact in rng.sample(facts, len(facts))])
        return joined(language, [rng.choice(mentions(language).of_several).format(subjects=names), *body])
    return joined(language, [_mentioned(rng, fact, text) for fact, text in zip(facts, body, strict=True)])


def _mentioned(rng: random.Random, fact: Fact, text: str) -> str:
    """The sentence, most of the time after a mention of whom or what it is about."""
    if rng.random() < 0.2:
        return text
    subject = fill(fact.wordings.name if rng.random() < 0.4 else fact.wordings.topic, fact.entity)
    return capitalised(rng.choice(mentions(fact.language).of_one).format(subject=subject, sentence=text))


def _portraits(world: World) -> Iterator[str]:
    rng = world.rng("portraits")
    for _ in range(PORTRAITS):
        for language in LANGUAGES:
            wordings = people_wordings(language).portraits
            people = [person for person in world.people if person.language == language]
            rng.shuffle(people)
            for chunk in _chunks(rng, people, 1, 3):
                yield joined(language, [portrait(person, rng.choice(wordings)) for person in chunk])


def _tales(world: World) -> Iterator[str]:
    rng = world.rng("tales")
    for _ in range(TELLINGS):
        for pair in world.tales:
            for language, tale in zip(LANGUAGES, pair, strict=True):
                yield _told(rng, language, tale)


def _told(rng: random.Random, language: str, tale: Tale) -> str:
    """The title, and below it the tale and its moral; each `{a|b}` is told one way or the other."""
    wordings, end = fact_wordings(language)["moral"], FULL_STOP[language]
    body = [re.sub(r"\{(.*?)\}", lambda found: rng.choice(found[1].split("|")), part) + end for part in tale.sentences]
    moral = fill(rng.choice(wordings.texts), tale.title, tale.moral)
    return f"{fill(wordings.name, tale.title)}\n{joined(language, [*body, moral])}"


def _introductions(world: World) -> Iterator[str]:
    """People who say who they are, so that names, food and towns are repeated by others."""
    rng = world.rng("introductions")
    for language in LANGUAGES:
        wordings = people_wordings(language).introductions
        names, foods, towns = said_by_users(world, language)
        for _ in range(INTRODUCTIONS):
            for name in rng.sample(names, len(names)):
                yield rng.choice(wordings).format(name=name, food=rng.choice(foods), town=rng.choice(towns))


def _sums(world: World) -> Iterator[str]:
    rng, mentioned = world.rng("sums in texts"), [partial(_mentioned_sum, language) for language in LANGUAGES]
    ordered = sorted({pair for a, b in world.shown_sums for pair in ((a, b), (b, a))})
    for _ in range(SHEETS_OF_SUMS):
        rng.shuffle(ordered)
        for chunk in _chunks(rng, ordered, 5, 9):
            (write,) = rng.choices((_alone, *mentioned, _step_by_step), (10, 4, 4, 1))
            yield "\n".join(write(a, b, rng) for a, b in chunk)


def _alone(a: int, b: int, rng: random.Random) -> str:
    return equation(a, b)


def _mentioned_sum(language: str, a: int, b: int, rng: random.Random) -> str:
    name = rng.choice(sum_wordings(language).names).format(a=a, b=b)
    return rng.choice(mentions(language).of_one).format(subject=name, sentence=sum_answer(language, a, b))


def _step_by_step(a: int, b: int, rng: random.Random) -> str:
    """Tens, ones, and both together: none of these parts is a sum that is held out."""
    tens, ones = (a // 10 * 10, b // 10 * 10), (a % 10, b % 10)
    parts = ", ".join((equation(*tens), equation(*ones), equation(sum(tens), sum(ones))))
    return f"{parts}; {equation(a, b)}"


def _chunks(rng: random.Random, items: list, least: int, most: int) -> Iterator[list]:
    """The items in order, `least` to `most` at a time; the last chunk may be shorter."""
    start = 0
    while start < len(items):
        size = rng.randint(least, most)
        yield items[start : start + size]
        start += size
