"""The preference pairs of the sample world: the good answer against a wrong, rude or rambling one.

They ask about what fine-tuning may ask about; the held-out pairs ask about the rest. A wrong answer is true, but
answers a question of another kind: whoever judges it has to read the question, not to know the world. (From pairs a
small network does not learn to judge whether `The capital of France is Rome.` is true: docs/reward.md.)
"""

import random

from dataset.sample.conversations import fine_tuning
from dataset.sample.manners import rambling, rude
from dataset.sample.questions import answer, question
from dataset.sample.world import Fact, World

PREFERENCES_PER_FACT = 2
CHATS = {"sum": 200, "follow_up": 250, "pronoun": 100, "recall": 350}  # how many pairs are in such conversations


def preferences(world: World, held: bool) -> list[dict]:
    """`{"prompt", "chosen", "rejected", "flaw", ...}`: the good answer against a wrong, rude or rambling one."""
    rng = world.rng(f"preferences {held}")
    facts = [fact for fact in world.facts if fact.held == held]
    others = {
        (fact.skill, fact.language): [
            other for other in facts if other.skill != fact.skill and other.language == fact.language
        ]
        for fact in facts
    }
    found = []
    for fact in facts:
        for wording in rng.sample(fact.wordings.questions.fine_tuning, PREFERENCES_PER_FACT):
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
    return answer(rng.choice(others))


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
