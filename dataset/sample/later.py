"""Sample data of the stages after fine-tuning: preference pairs, reasoning, prompts with checkable answers.

They use what fine-tuning may ask about; the held-out halves ask about the rest. No sum of two numbers that is held
out appears, not even as a step of a longer sum.
"""

import random
from collections.abc import Iterator

from dataset.sample.conversations import answer, question, record, sum_answer
from dataset.sample.small_talk import SUM_ASKED
from dataset.sample.texts import WORDINGS
from dataset.sample.world import LANGUAGES, LARGEST_SUM, Fact, World

HELD_PART = 8  # one in so many of the sums of three numbers is held out
SUMS_OF_THREE = 2000
PREFERENCES_PER_FACT = 2

RUDE = {
    "en": ("What a stupid question.", "Look it up yourself.", "I do not care about that.", "Leave me alone."),
    "zh": ("这么笨的问题。", "你自己去查。", "我才不管呢。", "别来烦我。"),
}
RAMBLING = {
    "en": (
        "Well, that is a good question, and there is a lot to say about it, and many people have asked it before. ",
        "Let me think. I once heard something about this, or perhaps about something else. As I remember it now, ",
        "Before I answer, I want to say that questions are a fine thing, and so are answers. ",
    ),
    "zh": (
        "嗯，这是个好问题，可以说的很多，以前也有许多人问过。",
        "让我想想。我好像听说过这件事，也可能是别的事。现在我记得，",
        "在回答之前，我想说，问题是好东西，回答也是好东西。",
    ),
}
THREE_ASKED = {
    "en": ("What is {0} + {1} + {2}?", "Add {0}, {1} and {2}.", "What is the sum of {0}, {1} and {2}?"),
    "zh": ("{0} + {1} + {2} 等于多少？", "{0}、{1}、{2}加起来是多少？", "计算 {0} + {1} + {2}。"),
}
SOUND_OF_PET = {
    "en": ("What does the pet of {e} do with its voice?", "How does the pet of {e} sound?"),
    "zh": ("{e}的宠物怎么叫？", "{e}的宠物的叫声是什么？"),
}


def preferences(world: World, held: bool) -> list[dict]:
    """`{"prompt", "chosen", "rejected", "flaw", ...}`: the good answer against a wrong, rude or rambling one."""
    rng = world.rng(f"preferences {held}")
    others: dict[tuple[str, str], list[Fact]] = {}
    for fact in world.facts:
        others.setdefault((fact.skill, fact.language), []).append(fact)
    found = []
    for fact in world.facts:
        if fact.held != held:
            continue
        wordings = WORDINGS[fact.language][fact.skill].asked
        for wording in rng.sample(wordings, PREFERENCES_PER_FACT):
            flaw = rng.choice(("wrong", "wrong", "rude", "rambling"))
            found.append(
                {
                    "prompt": question(fact, wording),
                    "chosen": answer(fact),
                    "rejected": _flawed(fact, flaw, others[fact.skill, fact.language], rng),
                    "flaw": flaw,
                    "skill": fact.skill,
                    "language": fact.language,
                }
            )
    rng.shuffle(found)
    return found


def _flawed(fact: Fact, flaw: str, others: list[Fact], rng: random.Random) -> str:
    if flaw == "rude":
        return rng.choice(RUDE[fact.language])
    if flaw == "rambling":
        return rng.choice(RAMBLING[fact.language]) + answer(fact)
    wrong = rng.choice([other.attribute for other in others if other.attribute != fact.attribute])
    return answer(Fact(fact.skill, fact.language, fact.entity, wrong, fact.held))


def reasoning(world: World, held: bool) -> list[dict]:
    """Chat records with `reasoning_content`: sums of three numbers, and the voices of people's pets."""
    rng = world.rng(f"reasoning {held}")
    found = []
    for numbers in _sums_of_three(world)[held]:
        language = rng.choice(LANGUAGES)
        a, b, c = numbers
        asked = rng.choice(THREE_ASKED[language]).format(*numbers)
        steps = f"{a} + {b} = {a + b}\n{a + b} + {c} = {sum(numbers)}"
        found.append(_reasoned("sum_of_three", language, asked, steps, sum_answer(language, *numbers)))
    found += _voices_of_pets(world, rng, held)
    rng.shuffle(found)
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


def _sums_of_three(world: World) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
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


def prompts(world: World, held: bool) -> list[dict]:
    """`{"question", "answer"}` for learning from rewards: the answer is the one word or number that must come."""
    rng = world.rng(f"prompts {held}")
    found = []
    for numbers in _sums_of_three(world)[held]:
        language = rng.choice(LANGUAGES)
        asked = rng.choice(THREE_ASKED[language]).format(*numbers)
        found.append(_prompt(asked, str(sum(numbers)), "sum_of_three", language))
    if not held:
        for a, b in rng.sample(world.shown_sums, 500):
            language = rng.choice(LANGUAGES)
            asked = rng.choice(SUM_ASKED[language]).format(a=a, b=b)
            found.append(_prompt(asked, str(a + b), "sum", language))
    for fact in world.facts:
        if fact.held == held and fact.skill != "moral":
            asked = question(fact, rng.choice(WORDINGS[fact.language][fact.skill].asked))
            found.append(_prompt(asked, fact.attribute, fact.skill, fact.language))
    rng.shuffle(found)
    return found


def _prompt(asked: str, right: str, skill: str, language: str) -> dict:
    return {"question": asked, "answer": right, "skill": skill, "language": language}
