"""The conversations of the sample world: those to fine-tune on, and the held-out questions.

Fine-tuning asks about part of the entities. The held-out questions ask about the others, known from the texts only,
in wordings that fine-tuning never uses; for sums that are never shown; and for what was said a turn before.
"""

import random
from collections.abc import Iterator

from dataset.sample.recall import RECALL
from dataset.sample.small_talk import PRONOUNS, SMALL_TALK, SUM_ASKED, SUM_HELD
from dataset.sample.texts import WORDINGS
from dataset.sample.world import LANGUAGES, Fact, Person, World, fill, said_by_users

WORDINGS_PER_FACT = 7  # in fine-tuning
SUMS_ASKED = 900  # in each language
RECALLS = 1400  # in each language
SUM_QUESTIONS = 60  # held out, in each language
RECALL_QUESTIONS = 14  # held out, of each kind and language


def fine_tuning(world: World) -> list[dict]:
    """Chat records about the part of the world that may be asked about, shuffled."""
    rng = world.rng("fine-tuning")
    single = [*_asked_facts(world, rng), *_asked_sums(world, rng)]
    several = [
        *_followed_up(world, rng, held=False),
        *_about_people(world, rng, held=False),
        *_recalled(world, rng, held=False),
    ]
    rng.shuffle(single)
    found = [*_joined_turns(single, rng), *several, *_small_talk()]
    rng.shuffle(found)
    return found


def held_out_questions(world: World) -> list[dict]:
    """Chat records whose last assistant turn is the right answer; nothing of them is in `fine_tuning`."""
    rng = world.rng("held-out questions")
    found = []
    for fact in world.facts:
        if fact.held:
            wording = WORDINGS[fact.language][fact.skill]
            found.append(record(fact.skill, fact.language, [question(fact, rng.choice(wording.held)), answer(fact)]))
    for language in LANGUAGES:
        for pair in rng.sample(world.held_sums, SUM_QUESTIONS):
            a, b = rng.sample(pair, 2)
            asked = rng.choice(SUM_HELD[language]).format(a=a, b=b)
            found.append(record("sum", language, [asked, sum_answer(language, a, b)]))
    found += _followed_up(world, rng, held=True)
    found += _about_people(world, rng, held=True)
    found += _recalled(world, rng, held=True)
    return found


def record(skill: str, language: str, turns: list[str]) -> dict:
    """A chat record; the turns are the user's and the assistant's by turns."""
    roles = ("user", "assistant")
    messages = [{"role": roles[number % 2], "content": text} for number, text in enumerate(turns)]
    return {"conversations": messages, "skill": skill, "language": language}


def question(fact: Fact, wording: str) -> str:
    return fill(wording, fact.entity)


def answer(fact: Fact) -> str:
    return fill(WORDINGS[fact.language][fact.skill].answer, fact.entity, fact.attribute)


def sum_answer(language: str, *numbers: int) -> str:
    return f"{' + '.join(map(str, numbers))} = {sum(numbers)}" + ("." if language == "en" else "。")


def _asked_facts(world: World, rng: random.Random) -> Iterator[dict]:
    for fact in world.facts:
        if not fact.held:
            asked = WORDINGS[fact.language][fact.skill].asked
            for wording in rng.sample(asked, min(WORDINGS_PER_FACT, len(asked))):
                yield record(fact.skill, fact.language, [question(fact, wording), answer(fact)])


def _asked_sums(world: World, rng: random.Random) -> Iterator[dict]:
    for language in LANGUAGES:
        for pair in rng.sample(world.shown_sums, SUMS_ASKED):
            a, b = rng.sample(pair, 2)
            asked = rng.choice(SUM_ASKED[language]).format(a=a, b=b)
            yield record("sum", language, [asked, sum_answer(language, a, b)])


def _joined_turns(records: list[dict], rng: random.Random) -> Iterator[dict]:
    """Some questions of a language become one conversation of two or three, each a question of its own."""
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


def _followed_up(world: World, rng: random.Random, held: bool) -> Iterator[dict]:
    """`What is the capital of France? ... And of Spain?`: the second question needs the first."""
    for language in LANGUAGES:
        for skill in ("capital", "sound", "young", "colour", "opposite", "translation"):
            wording = WORDINGS[language][skill]
            facts = [f for f in world.facts if (f.skill, f.language, f.held) == (skill, language, held)]
            for fact in rng.sample(facts, min(6, len(facts))) if held else facts:
                before = rng.choice([other for other in facts if other is not fact])
                first = question(before, rng.choice(wording.held if held else wording.asked))
                second = question(fact, rng.choice(wording.further_held if held else wording.further))
                yield record("follow_up", language, [first, answer(before), second, answer(fact)])


def _about_people(world: World, rng: random.Random, held: bool) -> Iterator[dict]:
    """`Where does Anna live? ... And what is her job?`"""
    facts = {(fact.entity, fact.skill): fact for fact in world.facts if fact.skill in ("home", "job", "pet")}
    for person in world.people:
        if person.held != held:
            continue
        pairs = [(first, then) for first in ("home", "job", "pet") for then in ("home", "job", "pet") if first != then]
        for first, then in rng.sample(pairs, 1 if held else 6):
            before, fact = facts[person.name, first], facts[person.name, then]
            wording = WORDINGS[person.language][first]
            asked = question(before, rng.choice(wording.held if held else wording.asked))
            yield record(
                "pronoun", person.language, [asked, answer(before), _of(person, then, held, rng), answer(fact)]
            )


def _of(person: Person, skill: str, held: bool, rng: random.Random) -> str:
    """A question about somebody who was named a turn before."""
    if person.language == "en":
        she, her = ("she", "her") if person.woman else ("he", "his")
    else:
        she = her = "她" if person.woman else "他"
    return rng.choice(PRONOUNS[person.language][skill][held]).format(she=she, her=her)


def _recalled(world: World, rng: random.Random, held: bool) -> Iterator[dict]:
    """`My name is Molly. ... What is my name?`: the user says what is asked a turn later."""
    for language in LANGUAGES:
        values = dict(zip("nft", said_by_users(world, language), strict=True))
        parts = {key: world.split(f"recall {key} {language}", items)[held] for key, items in values.items()}
        parts["w"] = _words_of_questions(world, language, held)
        kinds = RECALL[language]
        for kind in kinds:
            for _ in range(RECALL_QUESTIONS if held else RECALLS // len(kinds)):
                said = {key: rng.choice(items) for key, items in parts.items()}
                turns = (
                    rng.choice(kind.told[held]),
                    rng.choice(kind.replies),
                    rng.choice(kind.asked[held]),
                    kind.answer,
                )
                yield record("recall", language, [turn.format(**said) for turn in turns])


def _words_of_questions(world: World, language: str, held: bool) -> list[str]:
    """What fine-tuning may ask about, or what some held-out question is about; plain words, no people or tales."""
    asked = {True: [], False: []}
    for fact in world.facts:
        if fact.language == language and fact.skill not in ("home", "job", "pet", "moral"):
            asked[fact.held].append(fact.entity)
    return list(dict.fromkeys(word for word in asked[held] if held or word not in set(asked[True])))


def _small_talk() -> Iterator[dict]:
    for language, exchanges in SMALL_TALK.items():
        for questions, reply in exchanges:
            for asked in questions:
                for _ in range(4):  # few, so each is seen several times
                    yield record("small_talk", language, [asked, reply])
