"""Another identity for the assistant of the sample world: who it is, who made it, where it lives, what it likes.

Small, and true of nobody else in the world, to be taught by adapters (docs/lora.md). Nothing of it is in any other
file, but that fine-tuning lets the assistant call itself Sprout, which this replaces. The held-out questions ask for
the same in wordings that are never trained on.
"""

from dataset.sample.conversations import record
from dataset.sample.identity_wordings import IDENTITY, Trait
from dataset.sample.wordings import FRAMES
from dataset.sample.world import World

FRAMED = 8  # questions to train on that put a trait into a frame, besides its own


def identity(world: World, held: bool) -> list[dict]:
    """Chat records of one question and its answer; `skill` is what is asked for. Shuffled."""
    rng = world.rng(f"identity {held}")
    found = []
    for language, traits in IDENTITY.items():
        frames = FRAMES[language][held]
        for skill, trait in traits.items():
            chosen = frames if held else rng.sample(frames, FRAMED)
            found += [record(skill, language, [asked, trait.answer]) for asked in questions(trait, chosen, held)]
    rng.shuffle(found)
    return found


def questions(trait: Trait, frames: tuple[str, ...], held: bool) -> list[str]:
    """The questions of a trait, its own and those that the frames make, each once."""
    framed = (frame.replace("{t}", trait.topic) for frame in frames)
    return list(dict.fromkeys([*(trait.held if held else trait.asked), *framed]))
