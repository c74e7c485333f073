"""The prompts of the sample world, for learning from rewards: each has one word or number that must come."""

from dataset.sample.conversations import question
from dataset.sample.reasoning import THREE_ASKED, sums_of_three
from dataset.sample.small_talk import SUM_ASKED
from dataset.sample.texts import WORDINGS
from dataset.sample.world import LANGUAGES, World


def prompts(world: World, held: bool) -> list[dict]:
    """`{"question", "answer"}` for learning from rewards: the answer is the one word or number that must come."""
    rng = world.rng(f"prompts {held}")
    found = []
    for numbers in sums_of_three(world)[held]:
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
