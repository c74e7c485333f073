"""Another identity for the assistant of the sample world: who it is, who made it, where it lives, what it likes.

It is small, and true of nobody else in the world, to be taught by adapters (docs/lora.md). No other file says anything
of it; fine-tuning only lets the assistant call itself Sprout, which this replaces. The held-out questions ask for the
same in wordings that are never trained on.
"""

from dataclasses import dataclass

from dataset.sample.fact_wordings import Split, frames
from dataset.sample.loader import LANGUAGES, read_wordings
from dataset.sample.questions import record
from dataset.sample.world import World

FRAMED = 8  # questions to train on that put a trait into a frame, besides its own


@dataclass(frozen=True)
class Trait:
    """One thing that the assistant says of itself (an entry of wordings/<language>/identity.yaml)."""

    answer: str
    topic: str  # what is spoken of, for the frames
    questions: Split


def identity(world: World, held: bool) -> list[dict]:
    """Chat records of one question and its answer; `skill` is what is asked for. Shuffled."""
    rng = world.rng(f"identity {held}")
    found = []
    for language in LANGUAGES:
        for skill, trait in read_wordings("identity", language, dict[str, Trait]).items():
            framed = frames(language).around(trait.topic).of(held)
            chosen = framed if held else rng.sample(framed, FRAMED)
            asked = dict.fromkeys([*trait.questions.of(held), *chosen])  # each once
            found += [record(skill, language, [question, trait.answer]) for question in asked]
    rng.shuffle(found)
    return found
