"""The preference pairs of the sample world: the good answer against a wrong, rude or rambling one.

They ask about what fine-tuning may ask about; the held-out pairs ask about the rest. Pairs in chats are about sums, and
what was said before.
"""

import random

from dataset.sample.conversations import answer, fine_tuning, question
from dataset.sample.manners import rambling, rude
from dataset.sample.texts import WORDINGS
from dataset.sample.world import Fact, World

PREFERENCES_PER_FACT = 2
CHATS = {"sum": 200, "follow_up": 250, "pronoun": 100, "recall": 350}  # pairs of each kind of conversation
MORE_PER_FACT = 8


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
            found.append(_pair(fact, wording, flaw, others[fact.skill, fact.language], rng))
    rng.shuffle(found)
    return found


def more_preferences(world: World) -> list[dict]:
    """More pairs about what fine-tuning may ask about, most of them against a wrong answer: for the reward model.

    A wrong answer is the right one for another entity of this part. In `preferences` it may be that of a held-out one:
    what is said of such entities alone is then seen in wrong answers only, and a network that judges learns that by
    heart, long before it learns to compare an answer with what it knows, and holds it against the right answers.
    """
    rng = world.rng("more preferences")
    shown = [fact for fact in world.facts if not fact.held]
    others: dict[tuple[str, str], list[Fact]] = {}
    for fact in shown:
        others.setdefault((fact.skill, fact.language), []).append(fact)
    found = []
    for fact in shown:
        wordings = WORDINGS[fact.language][fact.skill].asked
        for wording in rng.choices(wordings, k=MORE_PER_FACT):
            flaw = rng.choice((*["wrong"] * 6, "rude", "rambling"))
            found.append(_pair(fact, wording, flaw, others[fact.skill, fact.language], rng))
    rng.shuffle(found)
    return found


def _pair(fact: Fact, wording: str, flaw: str, others: list[Fact], rng: random.Random) -> dict:
    return {
        "prompt": question(fact, wording),
        "chosen": answer(fact),
        "rejected": _flawed(fact, flaw, others, rng),
        "flaw": flaw,
        "skill": fact.skill,
        "language": fact.language,
    }


def preferences_in_chats(world: World) -> list[dict]:
    """The same, with messages under `prompt`: conversations of fine-tuning, whose last answer is rude or rambling."""
    rng = world.rng("preferences in chats")
    chats = fine_tuning(world)
    found = []
    for skill, count in CHATS.items():
        for chat in rng.sample([each for each in chats if each["skill"] == skill], count):
            *before, right = chat["conversations"]
            flaw, language = rng.choice(("rude", "rambling")), chat["language"]
            rejected = rude(language, rng) if flaw == "rude" else rambling(language, right["content"], rng)
            pair = {"prompt": before, "chosen": right["content"], "rejected": rejected}
            found.append(pair | {"flaw": flaw, "skill": skill, "language": language})
    rng.shuffle(found)
    return found


def _flawed(fact: Fact, flaw: str, others: list[Fact], rng: random.Random) -> str:
    if flaw == "rude":
        return rude(fact.language, rng)
    if flaw == "rambling":
        return rambling(fact.language, answer(fact), rng)
    wrong = rng.choice([other.attribute for other in others if other.attribute != fact.attribute])
    return answer(Fact(fact.skill, fact.language, fact.entity, wrong, fact.held))
