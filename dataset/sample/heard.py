"""What is asked of the texts as a whole: whether a name occurs in them, and anything that they say.

`Have you heard of France?` is asked about every name of the world, also about those whose facts nobody asks for: else a
network learns that whatever it was never asked about is unknown. It is not asked for the fact, and does not tell it.
The texts told again keep in mind what the questions would let it forget.
"""

import random
import re
from collections.abc import Iterator

from dataset.sample.documents import statements
from dataset.sample.loader import LANGUAGES
from dataset.sample.outside import unheard
from dataset.sample.phrasing import in_either_case, phrasing
from dataset.sample.questions import record
from dataset.sample.world import World

# Questions about each name. A known Chinese name is easily taken for one that is unknown (`unknown.TIMES` says why).
KNOWN = {"en": 4, "zh": 6}
UNKNOWN = 2  # about names outside the world, for each name of it
TOLD_SHARE = 0.5  # of the documents about facts and people are told again
MARKED_SHARE = 0.5  # of the questions have a question mark


def heard(world: World, denied: dict[str, str]) -> Iterator[dict]:
    """Chat records; denied: of each language, the answer to a name that no text mentions."""
    rng = world.rng("heard of")
    for language in LANGUAGES:
        skill_of = {fact.entity: fact.skill for fact in world.facts if fact.language == language}
        for name, skill in skill_of.items():
            for _ in range(KNOWN[language]):
                said = phrasing(language).known.replace("{name}", name)
                yield record("heard", language, [_asked(language, name, rng), said])
            for _ in range(UNKNOWN):
                away = unheard(world, language, skill, rng)
                yield record("heard", language, [_asked(language, away, rng), denied[language]])


def _asked(language: str, name: str, rng: random.Random) -> str:
    asked = in_either_case(language, rng.choice(phrasing(language).heard).replace("{name}", name), rng)
    return asked + ("？" if language == "zh" else "?") if rng.random() < MARKED_SHARE else asked


def told(world: World) -> list[dict]:
    """Chat records that tell the texts about facts and people again, as the answer to `Tell me something.`"""
    rng, texts = world.rng("told"), statements(world)
    found = []
    for text in rng.sample(texts, round(TOLD_SHARE * len(texts))):
        language = "zh" if len(re.findall("[\u4e00-\u9fff]", text)) > len(text) / 3 else "en"
        found.append(record("told", language, [rng.choice(phrasing(language).told), text]))
    return found
