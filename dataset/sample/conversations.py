"""The conversations of the sample world: those to fine-tune on, and the held-out questions.

Fine-tuning asks about part of the entities. The held-out questions ask about the others, known from the texts only,
in wordings that fine-tuning never uses; for sums that are never shown; and for what was said a turn before.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

from dataset.sample.fact_wordings import frames
from dataset.sample.loader import LANGUAGES, Lines, read_wordings
from dataset.sample.people import question_about
from dataset.sample.questions import answer, question, record, sum_record
from dataset.sample.recall import recalled
from dataset.sample.world import World

WORDINGS_PER_FACT = 7  # so many questions about each fact in fine-tuning
SUMS_ASKED = 900  # in fine-tuning, in each language
SUM_QUESTIONS = 60  # held out, in each language
FOLLOWED_UP = ("capital", "sound", "young", "colour", "opposite", "translation")  # skills asked for twice in a row


@dataclass(frozen=True)
class SmallTalk:
    """Things that users say, and the reply to each of them (an entry of wordings/<language>/small_talk.yaml)."""

    said: Lines
    reply: str


def fine_tuning(world: World) -> list[dict]:
    """Chat records about the part of the world that may be asked about, shuffled."""
    rng = world.rng("fine-tuning")
    single = [*_asked_facts(world, rng), *_asked_sums(world, rng)]
    several = [
        *_followed_up(world, rng, held=False),
        *_about_people(world, rng, held=False),
        *recalled(world, rng, held=False),
    ]
    rng.shuffle(single)
    found = [*joined_turns(single, rng), *several, *_small_talk()]
    rng.shuffle(found)
    return found


def held_out_questions(world: World) -> list[dict]:
    """Chat records whose last assistant turn is the right answer; `fine_tuning` has none of these questions.

    Two come twice, since many figures were measured on just these: `many_questions` has each once.
    """
    rng = world.rng("held-out questions")
    found = []
    for fact in world.facts:
        if fact.held:
            wording = rng.choice(fact.wordings.questions.held_out)
            found.append(record(fact.skill, fact.language, [question(fact, wording), answer(fact)]))
    found += _held_out_sums(world, rng, SUM_QUESTIONS)
    found += _followed_up(world, rng, held=True, facts_of_a_skill=6)
    found += _about_people(world, rng, held=True, pairs_of_a_person=1)
    found += recalled(world, rng, held=True)
    return found


def many_held_out_questions(world: World) -> list[dict]:
    """Like `held_out_questions`, but each fact in all its held-out wordings, and several times as many of the others.

    So a skill has hundreds of questions, and a change of a few points in one skill can be told from chance.
    """
    rng = world.rng("many held-out questions")
    found = []
    for fact in world.facts:
        for wording in fact.wordings.questions.held_out if fact.held else ():
            found.append(record(fact.skill, fact.language, [question(fact, wording), answer(fact)]))
    found += _held_out_sums(world, rng, 4 * SUM_QUESTIONS)
    found += _followed_up(world, rng, held=True)
    found += _about_people(world, rng, held=True)
    found += recalled(world, rng, held=True, times=4)
    return list({str(each): each for each in found}.values())  # what was drawn twice counts once


def _held_out_sums(world: World, rng: random.Random, count: int) -> Iterator[dict]:
    for language in LANGUAGES:
        for pair in rng.sample(world.held_sums, count):
            yield sum_record(language, pair, held=True, rng=rng)


def _asked_facts(world: World, rng: random.Random) -> Iterator[dict]:
    for fact in world.facts:
        if not fact.held:
            asked = fact.wordings.questions.fine_tuning
            for wording in rng.sample(asked, min(WORDINGS_PER_FACT, len(asked))):
                yield record(fact.skill, fact.language, [question(fact, wording), answer(fact)])


def _asked_sums(world: World, rng: random.Random) -> Iterator[dict]:
    for language in LANGUAGES:
        for pair in rng.sample(world.shown_sums, SUMS_ASKED):
            yield sum_record(language, pair, held=False, rng=rng)


def joined_turns(records: list[dict], rng: random.Random) -> Iterator[dict]:
    """Some questions of a language become one conversation of two or three questions that do not need each other."""
    waiting: dict[str, list[dict]] = {language: [] for language in LANGUAGES}
    for each in records:
        if rng.random() < 0.6:
            yield each
            continue
        group = waiting[each["language"]]
        group.append(each)
        if len(group) >= rng.choice((2, 3)):
            turns = [message for one in group for message in one["conversations"]]
            yield {"conversations": turns, "skill": "several", "language": each["language"]}
            group.clear()
    for group in waiting.values():
        yield from group


def _followed_up(world: World, rng: random.Random, held: bool, facts_of_a_skill: int | None = None) -> Iterator[dict]:
    """`What is the capital of France? ... And of Spain?`: the second question needs the first. None: all facts."""
    for language in LANGUAGES:
        for skill in FOLLOWED_UP:
            facts = [f for f in world.facts if (f.skill, f.language, f.held) == (skill, language, held)]
            for fact in rng.sample(facts, min(facts_of_a_skill, len(facts))) if facts_of_a_skill else facts:
                before = rng.choice([other for other in facts if other is not fact])
                first = question(before, rng.choice(before.wordings.questions.of(held)))
                further = rng.choice(frames(language).further.of(held))
                second = question(fact, further.replace("{name}", fact.wordings.name))
                yield record("follow_up", language, [first, answer(before), second, answer(fact)])


def _about_people(world: World, rng: random.Random, held: bool, pairs_of_a_person: int = 6) -> Iterator[dict]:
    """`Where does Anna live? ... And what is her job?`"""
    facts = {(fact.entity, fact.skill): fact for fact in world.facts if fact.skill in ("home", "job", "pet")}
    for person in world.people:
        if person.held != held:
            continue
        pairs = list(permutations(("home", "job", "pet"), 2))
        for first, then in rng.sample(pairs, pairs_of_a_person):
            before, fact = facts[person.name, first], facts[person.name, then]
            wording = rng.choice(before.wordings.questions.of(held))
            turns = [question(before, wording), answer(before), question_about(person, then, held, rng), answer(fact)]
            yield record("pronoun", person.language, turns)


def _small_talk() -> Iterator[dict]:
    for language in LANGUAGES:
        for exchange in read_wordings("small_talk", language, dict[str, SmallTalk]).values():
            for said in exchange.said:
                for _ in range(4):  # there are few, so each is seen several times
                    yield record("small_talk", language, [said, exchange.reply])
