"""The prompts of the sample world, for learning from rewards: a reply is right if it contains one word or number."""

from dataset.sample.conversations import fine_tuning
from dataset.sample.loader import LANGUAGES
from dataset.sample.questions import question, sum_wordings
from dataset.sample.reasoning import question_of_three, sums_of_three, voices_of_pets
from dataset.sample.world import World

CHATS = {"recall": 240, "follow_up": 240, "pronoun": 240}  # alike, since what prompts leave out is forgotten


def prompts(world: World, held: bool) -> list[dict]:
    """`{"question", "answer", ...}`: the answer is the word or number that a right reply contains. Shuffled."""
    rng = world.rng(f"prompts {held}")
    found = []
    for numbers in sums_of_three(world)[held]:
        language = rng.choice(LANGUAGES)
        asked = question_of_three(language, numbers, rng)
        found.append(_prompt(asked, str(sum(numbers)), "sum_of_three", language))
    if not held:
        for a, b in rng.sample(world.shown_sums, 500):
            language = rng.choice(LANGUAGES)
            asked = rng.choice(sum_wordings(language).questions.fine_tuning).format(a=a, b=b)
            found.append(_prompt(asked, str(a + b), "sum", language))
    for language, asked, _, sound in voices_of_pets(world, held):
        found.append(_prompt(asked, sound.attribute, "pet_sound", language))
    for fact in world.facts:
        if fact.held == held and fact.skill != "moral":
            asked = question(fact, rng.choice(fact.wordings.questions.fine_tuning))
            found.append(_prompt(asked, fact.attribute, fact.skill, fact.language))
    rng.shuffle(found)
    return found


def prompts_in_chats(world: World) -> list[dict]:
    """Conversations whose last answer is left blank, about what was said before it; `answer` is the whole reply."""
    rng = world.rng("prompts in chats")
    chats = fine_tuning(world)
    found = []
    for skill, count in CHATS.items():
        for chat in rng.sample([chat for chat in chats if chat["skill"] == skill], count):
            *before, last = chat["conversations"]
            found.append(chat | {"conversations": [*before, last | {"content": ""}], "answer": last["content"]})
    rng.shuffle(found)
    return found


def sums(world: World) -> list[dict]:
    """The prompts to train on that ask for sums of three numbers, without the others."""
    return [each for each in prompts(world, held=False) if each["skill"] == "sum_of_three"]


def _prompt(asked: str, right: str, skill: str, language: str) -> dict:
    return {"question": asked, "answer": right, "skill": skill, "language": language}
