"""What a model is asked for new instructions, and what is read from its reply.

The prompt shows eight instructions in random order, six of the seeds and two that were generated, as in
Self-Instruct, and asks for more. Which ones is a function of the seed and the number of the request.
"""

import hashlib
import random
import re
from collections.abc import Sequence

FROM_SEEDS, FROM_KEPT, NEW = 6, 2, 4

_ASKING = {
    "en": "Below are {count} tasks. Write {new} new tasks that are different from them and from each other. Each must"
    " be clear without a picture or a file, in one or two sentences. Write only the tasks, numbered from {first}."
    "\n\n{tasks}",
    "zh": "下面是{count}个任务。请再写出{new}个新的任务，与上面的和彼此之间都不相同。"
    "每个任务用一两句话说清楚，不需要图片或文件。只写任务本身，从{first}开始编号。\n\n{tasks}",
}
_NUMBER = re.compile(
    r"^[ \t]*(?:\*\*)?(?:(?:task|任务|指令)[ \t]*)?(\d{1,3})[ \t]*[.:、)）：．][ \t]*", re.IGNORECASE | re.MULTILINE
)
_THOUGHT = re.compile(r"^\s*<think>.*?</think>\s*", re.DOTALL)


def number_from(seed: int, kind: str, number: int) -> int:
    """A random number of 31 bits for a request: the same whenever it is asked."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{kind}/{number}".encode()).digest()[:4], "big") >> 1


def choose_examples(seeds: int, kept: int, seed: int, number: int) -> tuple[list[int], list[int]]:
    """Which seeds, and which of the kept instructions, request `number` shows."""
    chance = random.Random(number_from(seed, "examples", number))
    of_kept = sorted(chance.sample(range(kept), min(FROM_KEPT, kept)))
    return sorted(chance.sample(range(seeds), min(FROM_SEEDS + FROM_KEPT - len(of_kept), seeds))), of_kept


def asking_for_new(examples: Sequence[str], language: str, seed: int, number: int) -> str:
    """The message that asks for `NEW` instructions. language: "zh", or anything else for English."""
    examples = list(examples)
    random.Random(number_from(seed, "order", number)).shuffle(examples)
    tasks = "\n".join(f"{place}. {' '.join(one.split())}" for place, one in enumerate(examples, 1))
    words = _ASKING["zh" if language == "zh" else "en"]
    return words.format(count=len(examples), new=NEW, first=len(examples) + 1, tasks=tasks)


def instructions_in(reply: str, complete: bool) -> list[str]:
    """The numbered instructions of a reply, at most 2 `NEW`. complete: whether the model ended it; else its last
    instruction may be half of one, and is left out."""
    parts = _NUMBER.split(without_thought(reply))[2::2]  # what stands before the first number is no task
    parts = parts if complete else parts[:-1]
    return [" ".join(part.replace("**", "").split()).strip() for part in parts[: 2 * NEW]]


def without_thought(text: str) -> str:
    """The text without the thought in <think> tags that some models begin with."""
    return _THOUGHT.sub("", text).strip()
