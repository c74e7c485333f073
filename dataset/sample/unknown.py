"""Questions that the sample world has no answer to; the assistant says that it does not know.

What tells them from other questions is neither the wording nor the name alone. Every wording in which the world is
asked about its facts also asks about what is outside, and every wording of the other questions is asked about what the
world knows, too.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from dataset.sample.fact_wordings import Split, fact_wordings, frames
from dataset.sample.grammar import fill
from dataset.sample.loader import LANGUAGES, read_wordings
from dataset.sample.number_words import in_words
from dataset.sample.outside import made_up, outside, true_answers, unheard
from dataset.sample.phrasing import phrased, phrasing
from dataset.sample.plain_questions import numbers_in, plain_wordings, plainly
from dataset.sample.questions import answer, question, record, sum_answer
from dataset.sample.recall import recalls
from dataset.sample.world import World

# How many there are in fine-tuning, and held out, in each language.
FACTS = (80, 5)  # of each skill
MIXED_UP = (600, 8)  # a fact of another kind: the sound of a country
SUMS = (120, 8)
HARD = (120, 6)
FREE = (4, 1)  # times each question
ASKED_OF = (110, 5)  # things, places and people each
UNTOLD = (3, 1)  # times each question about the user
NONSENSE = (80, 4)
FURTHER = (90, 0)  # after a question about a fact, or before one
PHRASED = (50, 0)  # of each skill, in the many wordings of phrasing.py
PHRASED_SUMS = (175, 0)

MADE_UP_SHARE = 0.4  # of what is outside
KNOWN_SHARE = 0.4  # of what the questions about things, places and people are about
HELD_QUESTIONS = 100  # in each language
MANY_DRAWS = 4  # so many times as many questions, less those that are drawn twice
PLAIN_SHARE = 0.45  # of all questions have lost their marks or capitals

# A known English name is one token, and most others are several, so that little is refused by mistake; a known Chinese
# name is put together from the characters that others have, too. With equal amounts English is refused too little.
# Both amounts are larger than would be best for the network that learns from them: a step toward the network without
# them follows (`scripts/interpolate.py`), which takes refusals away.
TIMES = {"en": 2.0, "zh": 0.9}  # how often the amounts above are made for fine-tuning
TIMES_OF_CALCULATIONS = 3.5  # they name nothing, so both languages need as many

_ENTITY = ("entity", "an entity")


@dataclass(frozen=True)
class UnknownWordings:
    """Wordings of one language (wordings/<language>/unknown.yaml)."""

    answers: dict[Literal["fact", "open", "sum", "told"], str]
    free: Split
    things: Annotated[Split, *_ENTITY]
    places: Annotated[Split, *_ENTITY]
    people: Annotated[Split, *_ENTITY]
    sums: Annotated[Split, "a", "b"]
    hard: Annotated[Split, "a", "b"]


@dataclass(frozen=True)
class Unknown:
    """A question, which answer of `UnknownWordings` it gets, what it is about, and what would be true as well."""

    language: str
    kind: str  # fact, open, sum or told
    asked: str
    skill: str | None = None  # of a fact
    entity: str | None = None
    true: str | None = None


def unknown_wordings(language: str) -> UnknownWordings:
    return read_wordings("unknown", language, UnknownWordings)


def unknown(world: World) -> list[dict]:
    """Chat records to fine-tune on: one question each, or two of which one has an answer."""
    rng = world.rng("unknown")
    found = [_record(each) for language in LANGUAGES for each in asked_in_vain(world, language, held=False)]
    found += [chat for language in LANGUAGES for chat in _further(world, language, rng)]
    return found + [chat for language in LANGUAGES for chat in _phrased(world, language, rng)]


def unknown_heldout(world: World) -> list[dict]:
    """Chat records about what is held out, in held-out wordings; `also_right` lists what may be said instead."""
    rng, found = world.rng("unknown held out"), []
    for language in LANGUAGES:
        chosen = rng.sample(list(asked_in_vain(world, language, held=True)), HELD_QUESTIONS)
        found += [_record_to_examine(each) for each in chosen]
    return found


def many_unknown_heldout(world: World) -> list[dict]:
    """Chat records like those of `unknown_heldout`, none of which is among them: what was chosen by these is examined
    by others."""
    asked = {record["conversations"][0]["content"] for record in unknown_heldout(world)}
    found = []
    for language in LANGUAGES:
        for draw in range(1, MANY_DRAWS + 1):
            for each in asked_in_vain(world, language, held=True, draw=draw):
                if each.asked not in asked:
                    asked.add(each.asked)
                    found.append(_record_to_examine(each))
    return found


def _record_to_examine(each: Unknown) -> dict:
    """With all answers that count as right: any refusal, and what is true."""
    answers = unknown_wordings(each.language).answers
    also = [said for kind, said in answers.items() if kind != each.kind]
    return _record(each) | {"also_right": [*also, *([each.true] if each.true else [])]}


def asked_in_vain(world: World, language: str, held: bool, draw: int = 0) -> Iterator[Unknown]:
    """All questions of one language without an answer. draw: each number gives others."""
    rng = world.rng(f"asked in vain {language} {held}{f' {draw}' if draw else ''}")
    for make in (_facts, _mixed_up, _sums, _hard, _free, _asked_of, _untold, _nonsense):
        for each in make(world, language, held, rng):
            plain = each.kind != "sum" and rng.random() < PLAIN_SHARE
            asked = plainly(language, each.asked, rng) if plain else each.asked
            yield Unknown(each.language, each.kind, asked, each.skill, each.entity, each.true)


def _count(amounts: tuple[int, int], language: str, held: bool) -> int:
    return amounts[True] if held else round(amounts[False] * TIMES[language])


def _count_of_calculations(amounts: tuple[int, int], held: bool) -> int:
    return amounts[True] if held else round(amounts[False] * TIMES_OF_CALCULATIONS)


def _record(each: Unknown) -> dict:
    reply = unknown_wordings(each.language).answers[each.kind]
    return record(each.skill or each.kind, each.language, [each.asked, reply])


def _facts(world: World, language: str, held: bool, rng: random.Random) -> Iterator[Unknown]:
    away = outside(world, language, held)
    for skill in fact_wordings(language):
        for wording in _wordings(skill, language, held, _count(FACTS, language, held), rng):
            if rng.random() < MADE_UP_SHARE:
                entity = made_up(language, held, skill in ("capital", "home", "job", "pet"), rng)
                if skill == "moral" and language == "en":
                    entity = f"The {entity.capitalize()} and the {made_up(language, held, True, rng)}"
            else:
                entity = rng.choice(away.of(skill)) if held else unheard(world, language, skill, rng)
            yield _fact(skill, language, entity, wording)


def _wordings(skill: str, language: str, held: bool, count: int, rng: random.Random) -> list[str]:
    """So many wordings of a skill, a third of them short forms, each about as often as the others."""
    short, full = plain_wordings(language).facts[skill].of(held), fact_wordings(language)[skill].questions.of(held)
    parts = [rng.sample(each, len(each)) for each in (short, full, full)]
    return [parts[number % 3][number // 3 % len(parts[number % 3])] for number in range(count)]


def _fact(skill: str, language: str, entity: str, wording: str) -> Unknown:
    attribute = true_answers(skill, language).get(entity)
    true = attribute and fill(fact_wordings(language)[skill].answer, entity, attribute)
    return Unknown(language, "fact", fill(wording, entity), skill, entity, true)


def _mixed_up(world: World, language: str, held: bool, rng: random.Random) -> Iterator[Unknown]:
    """Questions about what the world knows, but not this of it."""
    skills = ("capital", "sound", "young", "colour", "opposite", "home", "job", "pet")
    known = known_entities(world, language, held)
    of: dict[str, set[str]] = {skill: set() for skill in skills}
    for fact in world.facts:
        if fact.language == language and fact.skill in skills:
            of[fact.skill].add(fact.entity.lower())  # in small letters, a turkey is a country
    for _ in range(MIXED_UP[held]):  # without TIMES, since whether these names are known does not matter
        skill = rng.choice(skills)
        kind = rng.choice([kind for kind in known if kind not in (skill, "moral")])
        others = [entity for entity in known[kind] if entity.lower() not in of[skill]]
        if (kind in ("home", "job", "pet") and skill in ("home", "job", "pet")) or not others:
            skill, others = "capital", [entity for entity in known["colour"] if entity.lower() not in of["capital"]]
        wording = rng.choice(_wordings(skill, language, held, 3, rng))
        yield _fact(skill, language, rng.choice(others), wording)


def known_entities(world: World, language: str, held: bool) -> dict[str, list[str]]:
    """Of each skill, what the world knows: only what is held out for every skill, or for none."""
    flags: dict[str, set[bool]] = {}
    for fact in world.facts:
        if fact.language == language:
            flags.setdefault(fact.entity.lower(), set()).add(fact.held)
    found: dict[str, list[str]] = {}
    for fact in world.facts:
        if fact.language == language and flags[fact.entity.lower()] == {held}:
            found.setdefault(fact.skill, []).append(fact.entity)
    return found


def _sums(world: World, language: str, held: bool, rng: random.Random) -> Iterator[Unknown]:
    """Sums beyond 100."""
    wordings = unknown_wordings(language).sums.of(held)
    for _ in range(_count_of_calculations(SUMS, held)):
        a, b = _beyond_100(held, rng)
        asked = numbers_in(language, rng.choice(wordings), a, b, rng) if max(a, b) < 1000 else None
        asked = asked or rng.choice(wordings).format(a=a, b=b)
        yield Unknown(language, "sum", asked, true=sum_answer(language, a, b))


def _beyond_100(held: bool, rng: random.Random) -> tuple[int, int]:
    """Half of those to learn from have two digits: they look most like the sums that it can add."""
    kinds = (_two_digits, _large_and_small, _both_large)
    return rng.choice(kinds if held else (_two_digits, *kinds))(rng)


def _two_digits(rng: random.Random) -> tuple[int, int]:
    """Two-digit numbers whose sum is clearly beyond 100; nearer to it, a network would have to add first."""
    a = rng.randint(20, 99)
    return a, rng.randint(max(110 - a, 11), 99)


def _large_and_small(rng: random.Random) -> tuple[int, int]:
    a, b = _large(rng), rng.randint(1, 99)
    return rng.choice(((a, b), (b, a)))


def _both_large(rng: random.Random) -> tuple[int, int]:
    return _large(rng), _large(rng)


def _large(rng: random.Random) -> int:
    return rng.choice((rng.randint(101, 999), rng.randint(101, 999), rng.randint(1000, 9999)))


def _hard(world: World, language: str, held: bool, rng: random.Random) -> Iterator[Unknown]:
    """Calculations that are no sums."""
    for _ in range(_count_of_calculations(HARD, held)):
        a, b = (rng.randint(1, rng.choice((12, 100, 1000))) for _ in range(2))
        asked = rng.choice(unknown_wordings(language).hard.of(held))
        if rng.random() < 0.3 and not any(sign in asked for sign in "+*/=-"):
            yield Unknown(language, "sum", asked.format(a=in_words(language, a % 100), b=in_words(language, b % 100)))
        else:
            yield Unknown(language, "sum", asked.format(a=a, b=b))


def _free(world: World, language: str, held: bool, rng: random.Random) -> Iterator[Unknown]:
    for asked in unknown_wordings(language).free.of(held):
        for _ in range(_count(FREE, language, held)):
            yield Unknown(language, "open", asked)


def _asked_of(world: World, language: str, held: bool, rng: random.Random) -> Iterator[Unknown]:
    """Questions of other kinds, about what the world knows and what it does not."""
    away, known, wordings = (
        outside(world, language, held),
        known_entities(world, language, held),
        unknown_wordings(language),
    )
    things = [entity for skill in ("sound", "colour", "translation") for entity in known[skill]]
    for asked, inside, others, skill in (
        (wordings.things, things, (*away.animals, *away.words), "translation"),
        (wordings.places, known["capital"], away.countries, "capital"),
        (wordings.people, known["home"], away.people, "home"),
    ):
        for _ in range(_count(ASKED_OF, language, held)):
            if rng.random() < KNOWN_SHARE:
                entity = rng.choice(inside)
            elif rng.random() < MADE_UP_SHARE:
                entity = made_up(language, held, asked is not wordings.things, rng)
            else:
                entity = rng.choice(others) if held else unheard(world, language, skill, rng)
            yield Unknown(language, "open", fill(rng.choice(asked.of(held)), entity))


def _untold(world: World, language: str, held: bool, rng: random.Random) -> Iterator[Unknown]:
    """Questions about the user, who has said nothing yet."""
    for kind in recalls(language).values():
        for asked in kind.questions.of(held):
            for _ in range(_count(UNTOLD, language, held)):
                yield Unknown(language, "told", asked)


def _nonsense(world: World, language: str, held: bool, rng: random.Random) -> Iterator[Unknown]:
    gap = " " if language == "en" else ""
    for _ in range(_count(NONSENSE, language, held)):
        words = [made_up(language, held, False, rng) for _ in range(rng.randint(1, 4))]
        yield Unknown(language, "open", gap.join(words) + rng.choice(("", "?", "!")))


def _further(world: World, language: str, rng: random.Random) -> Iterator[dict]:
    """`What is the capital of Spain? ... And of Kazakhstan?`, and the other way round."""
    skills = ("capital", "sound", "young", "colour", "opposite", "translation")
    for _ in range(_count(FURTHER, language, False)):
        skill = rng.choice(skills)
        facts = [f for f in world.facts if (f.skill, f.language, f.held) == (skill, language, False)]
        fact, entity = rng.choice(facts), rng.choice(outside(world, language, False).of(skill))
        wordings = fact.wordings.questions.fine_tuning
        first, away = question(fact, rng.choice(wordings)), fill(rng.choice(wordings), entity)
        reply = unknown_wordings(language).answers["fact"]
        wording = rng.choice(frames(language).further.fine_tuning).replace("{name}", fact.wordings.name)
        if rng.random() < 0.5:
            turns = [first, answer(fact), fill(wording, entity), reply]
        else:
            turns = [away, reply, fill(wording, fact.entity), answer(fact)]
        yield record("follow_up", language, turns)


def _phrased(world: World, language: str, rng: random.Random) -> Iterator[dict]:
    """Questions in the many wordings in which the world is asked about its facts and sums, too."""
    answers = unknown_wordings(language).answers
    for skill, wordings in fact_wordings(language).items():
        for _ in range(_count(PHRASED, language, False)):
            topic = fill(wordings.topic, unheard(world, language, skill, rng))
            yield record(skill, language, [phrased(language, topic, rng), answers["fact"]])
    for _ in range(_count_of_calculations(PHRASED_SUMS, False)):
        a, b = _beyond_100(False, rng)
        named = rng.choice(phrasing(language).sums)
        named = numbers_in(language, named, a, b, rng) if max(a, b) < 1000 else named.format(a=a, b=b)
        yield record("sum", language, [phrased(language, named, rng), answers["sum"]])
