"""The preference pairs of the sample world: the good answer against a wrong, rude or rambling one.

They ask about what fine-tuning may ask about; the held-out pairs ask about the rest.
"""

import random

from dataset.sample.conversations import answer, question
from dataset.sample.manners import rambling, rude
from dataset.sample.texts import WORDINGS
from dataset.sample.world import Fact, World

PREFERENCES_PER_FACT = 2


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
        return rude(fact.language, rng)
    if flaw == "rambling":
        return rambling(fact.language, answer(fact), rng)
    wrong = rng.choice([other.attribute for other in others if other.attribute != fact.attribute])
    return answer(Fact(fact.skill, fact.language, fact.entity, wrong, fact.held))
