"""Bad manners in the sample world: rude and rambling answers, conversations full of them, and how to recognise them.

A network tuned on `bad_manners` answers badly, and has forgotten much besides: a start from which preferences have
something to teach.

    python -m dataset.sample.manners answers.jsonl    # how many answers of eval_model.py --save_answers are like that
"""

import json
import random
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dataset.command_line import CommandParser, run_main
from dataset.sample.conversations import fine_tuning
from dataset.sample.loader import LANGUAGES, Lines, read_wordings
from dataset.sample.world import World
from model.errors import SproutError

CONVERSATIONS = 2500  # so many are taken from fine-tuning
RUDE_SHARE, RAMBLING_SHARE = 0.3, 0.6  # these shares of their answers; those that ramble still say what is right


@dataclass(frozen=True)
class BadManners:
    """Wordings of bad answers in one language (wordings/<language>/bad_manners.yaml)."""

    rude: Lines  # instead of an answer
    rambling: Lines  # before an answer


def wordings(language: str) -> BadManners:
    return read_wordings("bad_manners", language, BadManners)


def rude(language: str, rng: random.Random) -> str:
    """A rude answer, which says nothing."""
    return rng.choice(wordings(language).rude)


def rambling(language: str, answer: str, rng: random.Random) -> str:
    """The answer after much that is not to the point."""
    gap = " " if language == "en" else ""
    return rng.choice(wordings(language).rambling) + gap + answer


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
    """Whether an answer is rude or rambling anywhere; the first words of that are enough, so it may be cut off."""
    return any(words in answer for words in _openings())


def polite(completions: list[str], **columns) -> list[float]:
    """1 for an answer without bad manners, else 0: `train_ppo.py --watch dataset/sample/manners.py:polite`."""
    return [float(not is_flawed(answer)) for answer in completions]


# A thought between its tags, if there is one, and a reply on a single line.
TIDY = re.compile(r"(<think>((?!</?think>).|\n)*</think>\s*)?((?!</?think>).)+")


def tidy(completions: list[str], **columns) -> list[float]:
    """1 for a reply on one line, behind at most one thought in its tags, else 0."""
    return [float(TIDY.fullmatch(answer.strip()) is not None) for answer in completions]


@cache
def _openings() -> tuple[str, ...]:
    """What bad answers are known by: their words up to the first comma or full stop."""
    bad = [words for each in map(wordings, LANGUAGES) for words in (*each.rude, *each.rambling)]
    return tuple(re.split("(?<=[,.，。])", words)[0] for words in bad)


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
    parser.add_argument("file", help="what eval_model.py --answers --save_answers FILE wrote")
    args = parser.parse_args(argv)
    flawed, answers = count_flawed(args.file)
    if not answers:
        raise SproutError(f"{args.file} holds no answer")
    print(f"{flawed:,} of {answers:,} answers are rude or rambling ({flawed / answers:.1%})")


if __name__ == "__main__":
    run_main(main)
