"""Passkey retrieval: a line somewhere in a long text states a key, and the question behind the text asks for it.

The text is sentences about the world, so nothing else in it looks like a key. The skill of a record names the length
that it stays below, in tokens of the quickstart's tokenizer, the question and the template included: `passkey_512` has
some 450, `passkey_2048` some 1,800. Of the two shortest kinds, about one in a hundred is longer, by up to 6 tokens. The
task is that of https://arxiv.org/abs/2305.16300.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from dataset.sample.documents import sentence
from dataset.sample.fact_wordings import Split
from dataset.sample.grammar import joined
from dataset.sample.loader import LANGUAGES, read_wordings
from dataset.sample.questions import record
from dataset.sample.world import World

# How many records of each length (tokens) there are in each language: in training about as many tokens of each.
TO_TRAIN_ON = {128: 320, 256: 160, 512: 80, 1024: 40, 2048: 20}
HELD_OUT = 25
CHARACTERS_OF_A_TOKEN = {
    "en": 3.4,
    "zh": 1.75,
}  # a tenth less than the quickstart's tokenizer has: long texts are not cut
BESIDES = 45  # tokens of the question, the answer and the template


@dataclass(frozen=True)
class PasskeyWordings:
    """How a key is stated and asked for (wordings/<language>/passkey.yaml)."""

    stated: Annotated[Split, "key"]
    questions: Split
    answer: Annotated[str, "key"]


def passkeys(world: World, held: bool) -> Iterator[dict]:
    """Chat records, short ones first. No key and no wording of the held-out ones is in those to train on."""
    rng = world.rng(f"passkeys {held}")
    keys = [key for key in range(10000, 100000) if (key % 7 == 0) == held]
    for length, count in TO_TRAIN_ON.items():
        for language in LANGUAGES:
            for key in rng.sample(keys, HELD_OUT if held else count):
                yield passkey(world, rng, language, length, key, held)


def passkey(world: World, rng: random.Random, language: str, length: int, key: int, held: bool) -> dict:
    """A record of at most about `length` tokens. The key stands anywhere, at each place with the same probability."""
    wordings = read_wordings("passkey", language, PasskeyWordings)
    facts = [fact for fact in world.facts if fact.language == language]
    room, body = CHARACTERS_OF_A_TOKEN[language] * (length - BESIDES), []
    while len(joined(language, body)) <= room:
        fact = rng.choice(facts)
        body.append(sentence(fact, rng.choice(fact.wordings.texts)))
    body.pop()
    body[rng.randrange(len(body))] = rng.choice(wordings.stated.of(held)).format(key=key)
    asked = f"{joined(language, body)}\n{rng.choice(wordings.questions.of(held))}"
    return record(f"passkey_{length}", language, [asked, wordings.answer.format(key=key)])
