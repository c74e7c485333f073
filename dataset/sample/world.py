"""The sample world: who and what there is, and which part of it fine-tuning may ask about.

Everything is a function of a seed. The split is by what is asked: if the capital of France is held out, fine-tuning
asks for it in neither language, while texts state it in both.
"""

import random
from dataclasses import dataclass

from dataset.sample.fact_wordings import FactWordings, Skill, fact_wordings
from dataset.sample.loader import LANGUAGES, Lines, read_table, read_wordings
from dataset.sample.tales import tales

HELD_SHARE = 0.35  # this share of the entities of a skill is held out
HELD_SUMS = 500
LARGEST_SUM = 100


@dataclass(frozen=True)
class Names:
    """Names of one language (wordings/<language>/names.yaml)."""

    women: Lines
    men: Lines
    speakers: Lines  # people who speak to the model are not the people it has read about
    towns: Lines
    surnames: Lines = ()  # before the names of women and men, if there are any


def names_of(language: str) -> Names:
    return read_wordings("names", language, Names)


@dataclass(frozen=True)
class Fact:
    """One thing that is true, in one language: the `attribute` that `skill` asks about `entity`."""

    skill: Skill
    language: str
    entity: str
    attribute: str
    held: bool  # never asked in fine-tuning

    @property
    def wordings(self) -> FactWordings:
        return fact_wordings(self.language)[self.skill]


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
        for skill, table in (("capital", "capitals"), ("sound", "sounds"), ("young", "young"), ("colour", "colours")):
            for row, held in self._split(skill, read_table(table, columns=4)):
                self._add(skill, held, en=row[:2], zh=row[2:])
        for row, held in self._split("opposite", read_table("opposites", columns=4)):
            self._add("opposite", held, en=row[:2], zh=row[2:])
            self._add("opposite", held, en=row[1::-1], zh=row[:1:-1])
        for row, held in self._split("translation", read_table("translations", columns=2)):
            self._add("translation", held, en=row, zh=row[::-1])
        self.tales = tales()
        for (english, chinese), held in self._split("moral", self.tales):
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
        rng, column, names = self.rng(f"people {language}"), LANGUAGES.index(language), names_of(language)
        jobs, pets = read_table("jobs", columns=2), read_table("pets", columns=2)
        women, men = (_with_surnames(rng, given, names.surnames) for given in (names.women, names.men))
        everybody = [(name, True) for name in women] + [(name, False) for name in men]
        return [
            Person(
                language,
                name,
                woman,
                home=rng.choice(names.towns),
                job=rng.choice(jobs)[column],
                pet=rng.choice(pets)[column],
                held=held,
            )
            for (name, woman), held in self._split(f"people {language}", everybody)
        ]

    def _sums(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Pairs (a, b) with a <= b: those shown, and those never shown in either order.

        Only pairs of two-digit numbers that are not whole tens are held out, so that the parts of a sum that is worked
        out step by step (tens, ones, and both together) are always among those shown.
        """
        pairs = [(a, b) for a in range(LARGEST_SUM + 1) for b in range(a, LARGEST_SUM + 1 - a)]
        hard = [(a, b) for a, b in pairs if a > 10 and a % 10 and b % 10]
        held = set(self.rng("sums").sample(hard, HELD_SUMS))
        return [pair for pair in pairs if pair not in held], sorted(held)


def _with_surnames(rng: random.Random, given: Lines, surnames: Lines) -> list[str]:
    """Two people of each given name, if there are surnames to tell them apart; a name that comes twice is one."""
    if not surnames:
        return list(given)
    return list(dict.fromkeys(f"{rng.choice(surnames)}{name}" for name in given for _ in range(2)))


def said_by_users(world: World, language: str) -> tuple[list[str], list[str], list[str]]:
    """Names, foods and towns that users may speak of when they say who they are."""
    column, names = LANGUAGES.index(language), names_of(language)
    return (
        [*names.speakers, *(person.name for person in world.people if person.language == language)],
        [food[column] for food in read_table("foods", columns=2)],
        [*names.towns, *(row[2 * column + 1] for row in read_table("capitals", columns=4))],
    )
