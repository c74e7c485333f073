"""What makes the first chat with the fine-tuned network bearable: it says that it does not know, reads what is typed
in a hurry, greets, and tells little stories."""

from collections.abc import Iterator

from dataset.sample.conversations import SmallTalk, joined_turns
from dataset.sample.heard import heard
from dataset.sample.little_stories import little_stories
from dataset.sample.loader import LANGUAGES, read_wordings
from dataset.sample.phrasing import phrased_questions
from dataset.sample.plain_questions import plain_questions
from dataset.sample.questions import record
from dataset.sample.recall import recalled_anything
from dataset.sample.spelling import spelling
from dataset.sample.unknown import unknown, unknown_wordings
from dataset.sample.world import World

TALK_SEEN = 3  # times each of the few exchanges is seen


def first_chat(world: World) -> list[dict]:
    """Chat records to fine-tune on beside those of `fine_tuning`, shuffled."""
    rng = world.rng("first chat")
    denied = {language: unknown_wordings(language).answers["fact"] for language in LANGUAGES}
    single = [
        *unknown(world),
        *plain_questions(world),
        *phrased_questions(world),
        *heard(world, denied),
        *spelling(world),
        *_talk(),
    ]
    rng.shuffle(single)
    found = [*joined_turns(single, rng), *recalled_anything(world), *little_stories(world)]
    rng.shuffle(found)
    return found


def _talk() -> Iterator[dict]:
    for language in LANGUAGES:
        for exchange in read_wordings("first_talk", language, dict[str, SmallTalk]).values():
            for said in exchange.said:
                for _ in range(TALK_SEEN):
                    yield record("small_talk", language, [said, exchange.reply])
