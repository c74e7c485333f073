"""The reasoning of the sample world: answers that are thought out first, in steps that texts have shown.

No sum of two numbers that is held out appears, not even as a step of a longer sum.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from dataset.sample.loader import LANGUAGES, Lines, read_wordings
from dataset.sample.questions import answer, equation, record, sum_answer
from dataset.sample.world import LARGEST_SUM, Fact, World

HELD_PART = 8  # one in so many of the sums of three numbers is held out
SUMS_OF_THREE = 2000
FEW = 125  # a network that learns from 75 of them has 7 % of the held-out sums right, from 150 60 %


@dataclass(frozen=True)
class ReasoningWordings:
    """Questions of one language (wordings/<language>/reasoning.yaml)."""

    sums_of_three: Annotated[Lines, "a", "b", "c"]
    sounds_of_pets: Annotated[Lines, "name"]


def wordings(language: str) -> ReasoningWordings:
    return read_wordings("reasoning", language, ReasoningWordings)


def reasoning(world: World, held: bool) -> list[dict]:
    """Chat records with `reasoning_content`: sums of three numbers, and the voices of people's pets."""
    rng = world.rng(f"reasoning {held}")
    found = []
    for numbers in sums_of_three(world)[held]:
        language = rng.choice(LANGUAGES)
        a, b, c = numbers
        asked = question_of_three(language, numbers, rng)
        steps = f"{equation(a, b)}\n{equation(a + b, c)}"
        found.append(_reasoned("sum_of_three", language, asked, steps, sum_answer(language, *numbers)))
    for language, asked, pet, sound in voices_of_pets(world, held):
        found.append(_reasoned("pet_sound", language, asked, f"{answer(pet)}\n{answer(sound)}", answer(sound)))
    rng.shuffle(found)
    return found


def few_thoughts(world: World) -> list[dict]:
    """So few of the records to train on that a network learns how to think, and often thinks wrongly."""
    return reasoning(world, held=False)[:FEW]


def question_of_three(language: str, numbers: tuple[int, int, int], rng: random.Random) -> str:
    return rng.choice(wordings(language).sums_of_three).format(**dict(zip("abc", numbers, strict=True)))


def answers_alone(world: World) -> list[dict]:
    """The records to train on without their reasoning: what they teach shows what thinking adds."""
    found = reasoning(world, held=False)
    for chat in found:
        del chat["conversations"][-1]["reasoning_content"]
    return found


def voices_of_pets(world: World, held: bool) -> Iterator[tuple[str, str, Fact, Fact]]:
    """Language, question, and the two facts that answer it: who the pet is, and what it says."""
    facts = {(fact.skill, fact.language, fact.entity): fact for fact in world.facts}
    for person in world.people:
        sound = facts.get(("sound", person.language, person.pet))
        if person.held != held or sound is None:
            continue
        pet = facts["pet", person.language, person.name]
        for wording in wordings(person.language).sounds_of_pets:
            yield person.language, wording.format(name=person.name), pet, sound


def _reasoned(skill: str, language: str, asked: str, steps: str, reply: str) -> dict:
    chat = record(skill, language, [asked, reply])
    chat["conversations"][-1]["reasoning_content"] = steps
    return chat


def sums_of_three(world: World) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
    """Numbers to add from left to right, in steps that are all sums of the texts: (to train on, held out)."""
    rng, shown = world.rng("sums of three"), set(world.shown_sums)
    parts: tuple[set, set] = (set(), set())
    while sum(map(len, parts)) < SUMS_OF_THREE:
        a, b, c = (rng.randint(1, 60) for _ in range(3))
        steps = {tuple(sorted(pair)) for pair in ((a, b), (a + b, c))}
        if a + b + c <= LARGEST_SUM and steps <= shown:
            # The order of the numbers does not make another sum.
            key = random.Random(str(sorted((a, b, c)))).random()
            parts[key < 1 / HELD_PART].add((a, b, c))
    return sorted(parts[0]), sorted(parts[1])
