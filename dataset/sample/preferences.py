"""The preference pairs of the sample world: the good answer against a wrong, rude or rambling one.

They ask about what fine-tuning may ask about; the held-out pairs ask about the rest.
"""

import random

from dataset.sample.conversations import answer, question
from dataset.sample.texts import WORDINGS
from dataset.sample.world import Fact, World

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
