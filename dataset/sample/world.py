"""The sample world: who and what there is, and which part of it fine-tuning may ask about.

Everything is a function of a seed. The split is by what is asked: if the capital of France is held out, fine-tuning
asks for it in neither language, while texts state it in both.
"""

import random
from dataclasses import dataclass

from dataset.sample import facts as tables
from dataset.sample.tales import TALES

LANGUAGES = ("en", "zh")
HELD_SHARE = 0.35  # of the entities of a skill
HELD_SUMS = 500
LARGEST_SUM = 100

# English nouns that take no "a": some take nothing, some "the".
MASS_NOUNS = frozenset(
    "corn straw blood grass spinach lettuce moss denim snow milk salt cotton sugar chalk flour coal ink tar chocolate"
    " coffee bark soil lavender ash cement".split()
) | {"peach blossom"}
UNIQUE_NOUNS = frozenset({"sky", "sea"})


@dataclass(frozen=True)
class Fact:
    """One thing that is true, in one language: the `attribute` that `skill` asks about `entity`."""

    skill: str
    language: str
    entity: str
    attribute: str
    held: bool  # never asked in fine-tuning


@dataclass(frozen=True)
class Person:
    """An invented person; whoever is held out is held out for every question."""

    language: str
    name: str
    woman: bool
    home: str
    job: str
    pet: str
    held: bool


class World:
    """All facts, people, tales and sums for one seed."""

    def __init__(self, seed: int = 0):
        self.seed = seed
        self.facts: list[Fact] = []
        for skill, rows in (
            ("capital", tables.COUNTRIES),
            ("sound", tables.SOUNDS),
            ("young", tables.YOUNG),
            ("colour", tables.COLOURS),
        ):
            for row, held in self._split(skill, rows):
                self._add(skill, held, en=row[:2], zh=row[2:])
        for row, held in self._split("opposite", tables.OPPOSITES):
            self._add("opposite", held, en=row[:2], zh=row[2:])
            self._add("opposite", held, en=row[1::-1], zh=row[:1:-1])
        for row, held in self._split("translation", tables.LEXICON):
            self._add("translation", held, en=row, zh=row[::-1])
        self.tales = [pair for pair, _ in self._split("moral", TALES)]
        for (english, chinese), held in self._split("moral", TALES):
            self._add("moral", held, en=(english.title, english.moral), zh=(chinese.title, chinese.moral))
        self.people = [person for language in LANGUAGES for person in self._people(language)]
        for person in self.people:
            for skill in ("home", "job", "pet"):
                attribute = getattr(person, skill)
                self.facts.append(Fact(skill, person.language, person.name, attribute, person.held))
        self.shown_sums, self.held_sums = self._sums()

    def rng(self, purpose: str) -> random.Random:
        """Random numbers of one purpose: a change in one part of the world leaves the others as they are."""
        return random.Random(f"{self.seed} {purpose}")

    def split(self, purpose: str, items) -> tuple[list, list]:
        """Those that fine-tuning may use, and those held out."""
        parted = self._split(purpose, items)
        return [item for item, held in parted if not held], [item for item, held in parted if held]

    def _split(self, purpose: str, items) -> list[tuple]:
        """Every item, in order, with whether it is held out."""
        count = round(HELD_SHARE * len(items))
        held = set(self.rng(f"split {purpose}").sample(range(len(items)), count))
        return [(item, number in held) for number, item in enumerate(items)]

    def _add(self, skill: str, held: bool, **pairs) -> None:
        for language, (entity, attribute) in pairs.items():
            self.facts.append(Fact(skill, language, entity, attribute, held))

    def _people(self, language: str) -> list[Person]:
        rng, column = self.rng(f"people {language}"), LANGUAGES.index(language)
        if language == "en":
            women, men, towns = tables.WOMEN_EN, tables.MEN_EN, tables.TOWNS_EN
        else:
            women, men = (
                [f"{rng.choice(tables.SURNAMES_ZH)}{given}" for given in names for _ in range(2)]
                for names in (tables.WOMEN_ZH, tables.MEN_ZH)
            )
            women, men, towns = list(dict.fromkeys(women)), list(dict.fromkeys(men)), tables.TOWNS_ZH
        names = [(name, True) for name in women] + [(name, False) for name in men]
        return [
            Person(
                language,
                name,
                woman,
                home=rng.choice(towns),
                job=rng.choice(tables.JOBS)[column],
                pet=rng.choice(tables.PETS)[column],
                held=held,
            )
            for (name, woman), held in self._split(f"people {language}", names)
        ]

    def _sums(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Pairs (a, b) with a <= b: those shown, and those never shown in either order.

        Held out are pairs of two-digit numbers that are not whole tens, so that the parts of a sum that is worked out
        step by step (tens, ones, and both together) are never held out themselves.
        """
        pairs = [(a, b) for a in range(LARGEST_SUM + 1) for b in range(a, LARGEST_SUM + 1 - a)]
        hard = [(a, b) for a, b in pairs if a > 10 and a % 10 and b % 10]
        held = set(self.rng("sums").sample(hard, HELD_SUMS))
        return [pair for pair in pairs if pair not in held], sorted(held)


def said_by_users(world: World, language: str) -> tuple[list[str], list[str], list[str]]:
    """Names, foods and towns that somebody may speak of who introduces himself."""
    column = LANGUAGES.index(language)
    names = tables.SPEAKERS_EN if language == "en" else tables.SPEAKERS_ZH
    towns = tables.TOWNS_EN if language == "en" else tables.TOWNS_ZH
    return (
        names + [person.name for person in world.people if person.language == language],
        [food[column] for food in tables.FOODS],
        towns + [row[2 * column + 1] for row in tables.COUNTRIES],
    )


def with_article(noun: str) -> str:
    """`a dog`, `an owl`, `milk`, `the sky`."""
    if noun in MASS_NOUNS:
        return noun
    if noun in UNIQUE_NOUNS:
        return f"the {noun}"
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def fill(wording: str, entity: str, attribute: str = "") -> str:
    """A wording with its `{e}`, `{a}`, `{an e}`, `{An e}` and `{an a}` filled in."""
    if "{an e}" in wording or "{An e}" in wording:
        noun = with_article(entity)
        wording = wording.replace("{an e}", noun).replace("{An e}", noun[0].upper() + noun[1:])
    if "{an a}" in wording:
        wording = wording.replace("{an a}", with_article(attribute))
    return wording.replace("{e}", entity).replace("{a}", attribute)
