"""The reasoning of the sample world: answers that are thought out first, in steps that texts have shown.

No sum of two numbers that is held out appears, not even as a step of a longer sum.
"""

import random
from collections.abc import Iterator

from dataset.sample.conversations import answer, record, sum_answer
from dataset.sample.world import LANGUAGES, LARGEST_SUM, World

HELD_PART = 8  # one in so many of the sums of three numbers is held out
SUMS_OF_THREE = 2000

THREE_ASKED = {
    "en": ("What is {0} + {1} + {2}?", "Add {0}, {1} and {2}.", "What is the sum of {0}, {1} and {2}?"),
    "zh": ("{0} + {1} + {2} 等于多少？", "{0}、{1}、{2}加起来是多少？", "计算 {0} + {1} + {2}。"),
}
SOUND_OF_PET = {
    "en": ("What does the pet of {e} do with its voice?", "How does the pet of {e} sound?"),
    "zh": ("{e}的宠物怎么叫？", "{e}的宠物的叫声是什么？"),
}


def reasoning(world: World, held: bool) -> list[dict]:
    """Chat records with `reasoning_content`: sums of three numbers, and the voices of people's pets."""
    rng = world.rng(f"reasoning {held}")
    found = []
    for numbers in sums_of_three(world)[held]:
        language = rng.choice(LANGUAGES)
        a, b, c = numbers
        asked = rng.choice(THREE_ASKED[language]).format(*numbers)
        steps = f"{a} + {b} = {a + b}\n{a + b} + {c} = {sum(numbers)}"
        found.append(_reasoned("sum_of_three", language, asked, steps, sum_answer(language, *numbers)))
    found += _voices_of_pets(world, rng, held)
    rng.shuffle(found)
    return found


def answers_alone(world: World) -> list[dict]:
    """The records to train on without their reasoning: what they teach shows what thinking adds."""
    found = reasoning(world, held=False)
    for chat in found:
        del chat["conversations"][-1]["reasoning_content"]
    return found


def _voices_of_pets(world: World, rng: random.Random, held: bool) -> Iterator[dict]:
    facts = {(fact.skill, fact.language, fact.entity): fact for fact in world.facts}
    for person in world.people:
        sound = facts.get(("sound", person.language, person.pet))
        if person.held != held or sound is None:
            continue
        pet = facts["pet", person.language, person.name]
        for wording in SOUND_OF_PET[person.language]:
            steps = f"{answer(pet)}\n{answer(sound)}"
            yield _reasoned("pet_sound", person.language, wording.format(e=person.name), steps, answer(sound))


def _reasoned(skill: str, language: str, asked: str, steps: str, reply: str) -> dict:
    chat = record(skill, language, [asked, reply])
    chat["conversations"][-1]["reasoning_content"] = steps
    return chat


def sums_of_three(world: World) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Numbers to add from left to right, all of whose steps are sums that texts show: (to train on, held out)."""
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
