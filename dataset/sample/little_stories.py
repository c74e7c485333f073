"""Little stories on request, made of the animals, names, towns and food of the world."""

import random
from dataclasses import dataclass
from typing import Annotated

from dataset.sample.fact_wordings import Split
from dataset.sample.grammar import capitalised, with_article
from dataset.sample.loader import LANGUAGES, Lines, read_table, read_wordings
from dataset.sample.plain_questions import plainly
from dataset.sample.questions import record
from dataset.sample.world import World, names_of

STORIES = 240  # in each language
ABOUT_SHARE = 0.5  # of them are about an animal that is asked for
PLAIN_SHARE = 0.4  # of the requests have lost their marks or capitals


@dataclass(frozen=True)
class StoryWordings:
    """Wordings of one language (wordings/<language>/little_stories.yaml)."""

    requests: Split
    about: Annotated[Split, "animal", "an animal"]
    openings: Annotated[Lines, "animal", "an animal", "name", "town"]
    plots: Annotated[Lines, "name", "friend", "a friend", "A friend", "food"]


def story_wordings(language: str) -> StoryWordings:
    return read_wordings("little_stories", language, StoryWordings)


def little_stories(world: World) -> list[dict]:
    """Chat records of a request and a story of three to five sentences."""
    rng = world.rng("little stories")
    return [_record(language, rng) for language in LANGUAGES for _ in range(STORIES)]


def _record(language: str, rng: random.Random) -> dict:
    wordings, column = story_wordings(language), LANGUAGES.index(language)
    animals = sorted({row[2 * column] for table in ("sounds", "young") for row in read_table(table, 4)})
    animal, friend = rng.sample(animals, 2)
    if rng.random() < ABOUT_SHARE:
        asked = rng.choice(wordings.about.fine_tuning)
    else:
        asked = rng.choice(wordings.requests.fine_tuning)
    names, foods = names_of(language), read_table("foods", 2)
    values = {
        "animal": animal,
        "friend": friend,
        "name": rng.choice(names.speakers),
        "town": rng.choice(names.towns),
        "food": rng.choice(foods)[column],
    }
    if language == "en":
        noun = with_article(friend)
        values |= {"an animal": with_article(animal), "a friend": noun, "A friend": capitalised(noun)}
    gap = " " if language == "en" else ""
    told = rng.choice(wordings.openings) + gap + rng.choice(wordings.plots)
    asked = asked.format(**values)
    if rng.random() < PLAIN_SHARE:
        asked = plainly(language, asked, rng)
    return record("story", language, [asked, told.format(**values)])
