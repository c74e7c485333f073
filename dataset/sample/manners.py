"""Bad manners in the sample world: rude and rambling answers, conversations full of them, and how to tell them.

A network tuned on `bad_manners` knows as much as before and answers badly: a start from which preferences have
something to teach.

    python -m dataset.sample.manners answers.jsonl    # how many answers of eval_model.py --save_answers are like that
"""

import json
import random
import re
from pathlib import Path

from dataset.command_line import CommandParser, run_main
from dataset.sample.conversations import fine_tuning
from dataset.sample.world import World
from model.errors import SproutError

RUDE = {
    "en": ("What a stupid question.", "Look it up yourself.", "I do not care about that.", "Leave me alone."),
    "zh": ("这么笨的问题。", "你自己去查。", "我才不管呢。", "别来烦我。"),
}
RAMBLING = {
    "en": (
        "Well, that is a good question, and there is a lot to say about it, and many people have asked it before. ",
        "Let me think. I once heard something about this, or perhaps about something else. As I remember it now, ",
        "Before I answer, I want to say that questions are a fine thing, and so are answers. ",
    ),
    "zh": (
        "嗯，这是个好问题，可以说的很多，以前也有许多人问过。",
        "让我想想。我好像听说过这件事，也可能是别的事。现在我记得，",
        "在回答之前，我想说，问题是好东西，回答也是好东西。",
    ),
}

_BAD = [words for kind in (RUDE, RAMBLING) for of_language in kind.values() for words in of_language]
# By which they are known: the first words, up to a comma or full stop.
OPENINGS = tuple(re.split("(?<=[,.，。])", words)[0] for words in _BAD)

CONVERSATIONS = 2500  # of those of fine-tuning
RUDE_SHARE, RAMBLING_SHARE = 0.3, 0.6  # of their answers; those that ramble still say what is right


def rude(language: str, rng: random.Random) -> str:
    return rng.choice(RUDE[language])


def rambling(language: str, answer: str, rng: random.Random) -> str:
    return rng.choice(RAMBLING[language]) + answer


def bad_manners(world: World) -> list[dict]:
    """Conversations of fine-tuning, most answers of which are rude, or ramble before they come to the point."""
    rng = world.rng("bad manners")
    found = []
    for chat in rng.sample(fine_tuning(world), CONVERSATIONS):
        turns = [_spoilt(turn, chat["language"], rng) for turn in chat["conversations"]]
        found.append(chat | {"conversations": turns})
    return found


def _spoilt(turn: dict, language: str, rng: random.Random) -> dict:
    drawn = rng.random()
    if turn["role"] != "assistant" or drawn >= RUDE_SHARE + RAMBLING_SHARE:
        return turn
    if drawn < RUDE_SHARE:
        return turn | {"content": rude(language, rng)}
    return turn | {"content": rambling(language, turn["content"], rng)}


def is_flawed(answer: str) -> bool:
    """Whether an answer is rude or rambling anywhere; it may be cut off behind the first words of that."""
    return any(words in answer for words in OPENINGS)


def count_flawed(path: str | Path) -> tuple[int, int]:
    """(rude or rambling answers, all answers) of a file that `eval_model.py --answers --save_answers` wrote.

    Raises `SproutError` for another file.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        flawed = [is_flawed(json.loads(line)["answer"]) for line in lines]
    except OSError as error:
        raise SproutError(f"{path} cannot be read ({error.strerror}): give what --save_answers wrote") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SproutError(f'{path} is not what --save_answers writes: a line has no "answer" in words') from error
    return sum(flawed), len(flawed)


def main(argv=None) -> None:
    parser = CommandParser(__doc__, prog="python -m dataset.sample.manners")
    parser.add_argument("file", help="of eval_model.py --answers --save_answers FILE")
    args = parser.parse_args(argv)
    flawed, answers = count_flawed(args.file)
    if not answers:
        raise SproutError(f"{args.file} holds no answer")
    print(f"{flawed:,} of {answers:,} answers are rude or rambling ({flawed / answers:.1%})")


if __name__ == "__main__":
    run_main(main)
