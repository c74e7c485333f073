"""How the invented people are spoken of: portraits, introductions, and questions after they were named."""

import random
from dataclasses import dataclass
from typing import Annotated, Literal

from dataset.sample.fact_wordings import Split
from dataset.sample.grammar import with_article
from dataset.sample.loader import Lines, read_wordings
from dataset.sample.world import Person

_PERSON = ("name", "home", "job", "pet", "a job", "a pet", "they", "They", "their", "Their", "them")


@dataclass(frozen=True)
class Pronouns:
    """What stands for one person in `They live`, `their home` and `I know them`."""

    they: str
    their: str
    them: str


@dataclass(frozen=True)
class PeopleWordings:
    """Wordings about people in one language (wordings/<language>/people.yaml)."""

    pronouns: dict[Literal["woman", "man"], Pronouns]
    portraits: Annotated[Lines, *_PERSON]
    introductions: Annotated[Lines, "name", "food", "town"]
    questions: Annotated[dict[Literal["home", "job", "pet"], Split], "they", "their"]  # after a person was named


def people_wordings(language: str) -> PeopleWordings:
    return read_wordings("people", language, PeopleWordings)


def portrait(person: Person, wording: str) -> str:
    """One of the portraits, filled in with a person."""
    pronouns = _pronouns(person)
    return wording.format(
        name=person.name,
        home=person.home,
        job=person.job,
        pet=person.pet,
        they=pronouns.they,
        They=pronouns.they.capitalize(),
        their=pronouns.their,
        Their=pronouns.their.capitalize(),
        them=pronouns.them,
        **{"a job": with_article(person.job), "a pet": with_article(person.pet)},
    )


def question_about(person: Person, skill: str, held: bool, rng: random.Random) -> str:
    """A question about a person who was named a turn before."""
    wording = rng.choice(people_wordings(person.language).questions[skill].of(held))
    pronouns = _pronouns(person)
    return wording.format(they=pronouns.they, their=pronouns.their)


def _pronouns(person: Person) -> Pronouns:
    return people_wordings(person.language).pronouns["woman" if person.woman else "man"]
