"""How facts are stated and asked for: for every skill and language, the wordings of texts, questions and answers."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Literal

from dataset.sample.loader import Lines, read_wordings

# What a fact is about, and so what a question about it asks for.
Skill = Literal["capital", "sound", "young", "colour", "opposite", "translation", "home", "job", "pet", "moral"]

_ENTITY = ("entity", "an entity", "An entity")
_FACT = (*_ENTITY, "attribute", "an attribute")


@dataclass(frozen=True)
class Split:
    """Wordings that fine-tuning uses, and wordings that only held-out questions use."""

    fine_tuning: Lines
    held_out: Lines

    def of(self, held: bool) -> Lines:
        return self.held_out if held else self.fine_tuning


@dataclass(frozen=True)
class FactWordings:
    """All wordings of one skill in one language (an entry of wordings/<language>/facts.yaml)."""

    answer: Annotated[str, *_FACT]
    heading: str  # above a list of facts
    topic: Annotated[str, *_ENTITY]  # what is spoken of
    name: Annotated[str, *_ENTITY]  # how the entity is named on its own
    texts: Annotated[Lines, *_FACT]
    questions: Annotated[Split, *_ENTITY]


@dataclass(frozen=True)
class Frames:
    """Questions that fit every skill (wordings/<language>/frames.yaml)."""

    questions: Annotated[Split, "topic"]  # around what is spoken of
    further: Annotated[Split, "name"]  # ask the same of another, after a first question

    def around(self, topic: str) -> Split:
        """The questions about a topic."""
        parts = (self.questions.fine_tuning, self.questions.held_out)
        return Split(*(tuple(frame.replace("{topic}", topic) for frame in part) for part in parts))


def frames(language: str) -> Frames:
    return read_wordings("frames", language, Frames)


@cache
def fact_wordings(language: str) -> dict[Skill, FactWordings]:
    """The wordings of every skill. The answer is among the texts, twice; the frames are among the questions."""
    found = read_wordings("facts", language, dict[Skill, FactWordings])
    return {skill: _composed(wordings, frames(language)) for skill, wordings in found.items()}


def _composed(wordings: FactWordings, frames: Frames) -> FactWordings:
    own, framed = wordings.questions, frames.around(wordings.topic)
    return replace(
        wordings,
        texts=(wordings.answer, wordings.answer, *wordings.texts),
        questions=Split(own.fine_tuning + framed.fine_tuning, own.held_out + framed.held_out),
    )
