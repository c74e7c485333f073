"""Questions about facts and sums, their answers, and the chat records that they make."""

import random
from dataclasses import dataclass
from typing import Annotated

from dataset.sample.fact_wordings import Split
from dataset.sample.grammar import FULL_STOP, fill
from dataset.sample.loader import Lines, read_wordings
from dataset.sample.world import Fact


@dataclass(frozen=True)
class SumWordings:
    """Wordings about the sum of two numbers in one language (wordings/<language>/sums.yaml)."""

    questions: Annotated[Split, "a", "b"]
    names: Annotated[Lines, "a", "b"]


def sum_wordings(language: str) -> SumWordings:
    return read_wordings("sums", language, SumWordings)


def record(skill: str, language: str, turns: list[str]) -> dict:
    """A chat record; the user has the first turn, the assistant the second, and so on."""
    roles = ("user", "assistant")
    messages = [{"role": roles[number % 2], "content": text} for number, text in enumerate(turns)]
    return {"conversations": messages, "skill": skill, "language": language}


def question(fact: Fact, wording: str) -> str:
    """One of the questions of a skill, filled in with the entity."""
    return fill(wording, fact.entity)


def answer(fact: Fact) -> str:
    """The right answer to every question about a fact."""
    return fill(fact.wordings.answer, fact.entity, fact.attribute)


def sum_record(language: str, pair: tuple[int, int], held: bool, rng: random.Random) -> dict:
    """A chat record that asks for the sum of two numbers, in either order."""
    a, b = rng.sample(pair, 2)
    asked = rng.choice(sum_wordings(language).questions.of(held)).format(a=a, b=b)
    return record("sum", language, [asked, sum_answer(language, a, b)])


def sum_answer(language: str, *numbers: int) -> str:
    return equation(*numbers) + FULL_STOP[language]


def equation(*numbers: int) -> str:
    """`1 + 2 = 3`."""
    return f"{' + '.join(map(str, numbers))} = {sum(numbers)}"
