"""Made-up texts whose Jaccard similarity is known, and the similarity by sets of strings."""

import random
import unicodedata

from dataset.prepare.duplicates.normalised import normalise

HAN = "".join(chr(code) for code in range(0x4E00, 0x4E00 + 1500))


def random_text(rng: random.Random, length: int, letters: str = HAN) -> str:
    return "".join(rng.choices(letters, k=length))


def pair_at(similarity: float, rng: random.Random, length: int = 300) -> tuple[str, str]:
    """Two texts of `length` characters that share a beginning, and no shingle behind it."""
    shingles = length - 4
    shared = round(2 * shingles * similarity / (1 + similarity)) + 4
    beginning = random_text(rng, shared)
    return tuple(beginning + random_text(rng, length - shared, letters) for letters in ("abcdefgh", "stuvwxyz"))


def edited(text: str, edits: int, rng: random.Random) -> str:
    """The text with so many single characters replaced."""
    characters = list(text)
    for place in rng.sample(range(len(text)), edits):
        characters[place] = "x"
    return "".join(characters)


def characters_of(text: str) -> str:
    """What is shingled, by Python's strings: normalised, without punctuation, spaces single and inside only."""
    kept = "".join(one for one in normalise(text) if unicodedata.category(one)[0] != "P")
    return " ".join(word for word in kept.split(" ") if word)


def true_jaccard(one: str, other: str) -> float:
    first, second = ({text[i : i + 5] for i in range(len(text) - 4)} for text in map(characters_of, (one, other)))
    return len(first & second) / max(1, len(first | second))
