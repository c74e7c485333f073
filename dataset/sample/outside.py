"""Who and what the sample world knows nothing of: countries, animals, words, people, stories, and words that nobody
has ever used. A part of them is held out, and only examines."""

import random
from dataclasses import dataclass
from functools import cache

from dataset.sample.fact_wordings import Skill
from dataset.sample.loader import LANGUAGES, Lines, read_table, read_wordings
from dataset.sample.world import World

FURTHER_SHARE = 0.7  # of what fine-tuning asks about in vain is in the long lists that examine nothing


@dataclass(frozen=True)
class OutsideNames:
    """wordings/<language>/outside.yaml."""

    people: Lines
    further_people: Lines
    stories: Lines
    syllables: Lines


@dataclass(frozen=True)
class Outside:
    """What is outside the world in one language, for one half of the split."""

    countries: tuple[str, ...]
    animals: tuple[str, ...]
    words: tuple[str, ...]
    people: tuple[str, ...]
    stories: tuple[str, ...]

    def of(self, skill: Skill) -> tuple[str, ...]:
        """What a question of this skill may ask for in vain."""
        if skill in ("home", "job", "pet"):
            return self.people
        kinds = {"capital": self.countries, "moral": self.stories, "sound": self.animals, "young": self.animals}
        return kinds.get(skill, self.words)


def outside(world: World, language: str, held: bool) -> Outside:
    column, names = LANGUAGES.index(language), read_wordings("outside", language, OutsideNames)

    def part(purpose: str, items) -> tuple[str, ...]:
        return tuple(world.split(f"outside {purpose}", items)[held])

    return Outside(
        countries=tuple(row[2 * column] for row in part("countries", read_table("outside_countries", 4))),
        animals=tuple(row[column] for row in part("animals", read_table("outside_animals", 2))),
        words=tuple(row[column] for row in part("words", read_table("outside_words", 2))),
        people=part(f"people {language}", names.people),
        stories=part(f"stories {language}", names.stories),
    )


def unheard(world: World, language: str, skill: Skill, rng: random.Random) -> str:
    """A name that no text mentions, for fine-tuning: mostly one of many, so that few come twice."""
    if rng.random() < FURTHER_SHARE:
        return _further(language, skill, rng)
    return rng.choice(outside(world, language, False).of(skill))


def _further(language: str, skill: Skill, rng: random.Random) -> str:
    if skill in ("home", "job", "pet"):
        return rng.choice(read_wordings("outside", language, OutsideNames).further_people)
    if skill == "moral":
        one, other = rng.choice(_further_names("animal", language)), rng.choice(_further_names("word", language))
        return f"The {one.capitalize()} and the {other.capitalize()}" if language == "en" else f"{one}与{other}"
    kind = {"capital": "place", "sound": "animal", "young": "animal"}.get(skill, "word")
    return rng.choice(_further_names(kind, language))


def _further_names(kind: str, language: str) -> tuple[str, ...]:
    rows = read_table("outside_further", 3)
    return tuple(row[1 + LANGUAGES.index(language)] for row in rows if row[0] == kind)


def made_up(language: str, held: bool, capital: bool, rng: random.Random) -> str:
    """A word that means nothing, of two or three syllables. Held-out ones begin with other syllables."""
    syllables = read_wordings("outside", language, OutsideNames).syllables
    cut = len(syllables) * 3 // 4
    first = rng.choice(syllables[cut:] if held else syllables[:cut])
    word = first + "".join(rng.choice(syllables) for _ in range(rng.randint(1, 2)))
    return word.capitalize() if capital and language == "en" else word


@cache
def true_answers(skill: str, language: str) -> dict[str, str]:
    """What is true of what is outside, where a question about it has one answer."""
    column = LANGUAGES.index(language)
    if skill == "capital":
        return {row[2 * column]: row[2 * column + 1] for row in read_table("outside_countries", 4)}
    if skill == "translation":
        return {row[column]: row[1 - column] for row in read_table("outside_words", 2)}
    return {}
