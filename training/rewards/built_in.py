"""The built-in rewards, written as a user writes one: (prompts, completions, **columns) -> a number for each answer.

    exact       1 if the final answer is right, else 0 (inference/grading.py)
    contains    1 if the answer contains the right one as whole words, else 0
    format      1 if it is <think>, a thought, </think>, an answer, else 0
    length      right: 1 to 0.5, wrong: -1 to -0.5, by a cosine of the length
    overlong    0, then falling to -1 where the answer nears the limit of its length
    repetition  0 to -1: the share of repeated 3-grams

None: not rated, as the record has no right answer. The thought of an answer is never searched for the right one, nor
are its calls of tools, unless a call is what is right: an answer cut off behind one has not given its final answer.
"""

import math
import re
from collections.abc import Callable, Sequence

from inference.grading import LETTERS, grade, normal_text, plain, right_answer
from inference.quantities import read_quantity
from inference.thoughts import THINK, THINK_END, conclusion
from inference.tools.calls import CALL, before_calls
from model.errors import SproutError

COMPARING = ("exact", "contains", "length")  # those that compare with a right answer
RIGHT_COLUMNS = ("answer", "right", "solution", "ground_truth")  # the first that a record has counts
NGRAM = 3
OVERLONG_SHARE = 0.2  # of the limit: DAPO lets the last 4,096 of 20,480 tokens cost

Ratings = list[float | None]


def exact(prompts: Sequence[str], completions: Sequence[str], **columns) -> Ratings:
    """1 if the final answer is right, 0 if not; None where the record has none that can be compared."""
    return [_number(found) for found in _graded(prompts, completions, columns)]


def contains(prompts: Sequence[str], completions: Sequence[str], **columns) -> Ratings:
    """1 if the answer contains the right one, as whole words; a number must be its final answer, as in `exact`.

    For short replies in whole sentences (`It is Paris.`). An answer that lists all that could be right is rewarded too.
    """
    found = _graded(prompts, completions, columns)
    for i, right in enumerate(_right(columns, "contains")):
        wanted = right_answer(right)
        if wanted is not None and read_quantity(plain(wanted)) is None:
            said = _said(prompts[i], completions[i], right)
            found[i] = _holds(normal_text(plain(said)), normal_text(plain(wanted)))
    return [_number(each) for each in found]


def think_format(prompts: Sequence[str], completions: Sequence[str]) -> Ratings:
    """1 if a completion is one thought between its tags and an answer behind it, else 0.

    Where the template has already written `<think>` into the prompt, the completion begins with the thought.
    """
    return [float(_is_in_format(prompt, completion)) for prompt, completion in zip(prompts, completions, strict=True)]


def length(
    prompts: Sequence[str],
    completions: Sequence[str],
    completion_ids: Sequence[Sequence[int]],
    max_new_tokens: Sequence[int],
    **columns,
) -> Ratings:
    """`cosine_length` of each answer, in tokens."""
    return [
        None if right is None else cosine_length(len(ids), limit, right)
        for right, ids, limit in zip(
            _graded(prompts, completions, columns, "length"), completion_ids, max_new_tokens, strict=True
        )
    ]


def cosine_length(tokens: int, limit: int, right: bool) -> float:
    """Right answers get 1 (no token) to 0.5 (`limit` tokens), wrong ones -1 to -0.5: the shorter, the worse.

    The cosine reward of https://arxiv.org/abs/2502.03373 with the bounds of open-r1.
    """
    fraction = (1 + math.cos(math.pi * min(tokens / limit, 1))) / 2  # 1 to 0
    return 0.5 + 0.5 * fraction if right else -0.5 - 0.5 * fraction


def overlong(completion_ids: Sequence[Sequence[int]], max_new_tokens: Sequence[int]) -> Ratings:
    """`soft_overlong` of each answer; the last fifth of --max_new_tokens costs."""
    pairs = zip(completion_ids, max_new_tokens, strict=True)
    return [soft_overlong(len(ids), limit, OVERLONG_SHARE * limit) for ids, limit in pairs]


def soft_overlong(tokens: int, limit: int, buffer: float) -> float:
    """0 up to `limit - buffer` tokens, from there linear to -1 at `limit`, and -1 beyond: DAPO, equation 13.

    https://arxiv.org/abs/2503.14476. An answer that was cut off has `limit` tokens.
    """
    return max(-1.0, min(0.0, (limit - buffer - tokens) / buffer))


def repetition(completions: Sequence[str], completion_ids: Sequence[Sequence[int]] | None = None) -> Ratings:
    """-(1 - different / all) over the 3-grams of tokens, or of characters where there are no tokens; 0 if it has none.

    Not of words, which Chinese does not separate.
    """
    return [repeated(symbols) for symbols in (completions if completion_ids is None else completion_ids)]


def repeated(symbols: Sequence) -> float:
    grams = [tuple(symbols[i : i + NGRAM]) for i in range(len(symbols) - NGRAM + 1)]
    return len(set(grams)) / len(grams) - 1 if grams else 0.0


BUILT_IN: dict[str, Callable[..., Ratings]] = {
    "exact": exact,
    "contains": contains,
    "format": think_format,
    "length": length,
    "overlong": overlong,
    "repetition": repetition,
}

# --- what they share --------------------------------------------------------------------------------


def _graded(prompts, completions, columns: dict, name: str = "exact") -> list[bool | None]:
    return [
        grade(_said(prompt, completion, right), right)
        for prompt, completion, right in zip(prompts, completions, _right(columns, name), strict=True)
    ]


def _right(columns: dict, name: str) -> Sequence:
    """The right answer of each record, from its first column that has one: those of several files may differ."""
    found = [columns[name] for name in RIGHT_COLUMNS if name in columns]
    if found:
        return [next((value for value in values if value is not None), None) for values in zip(*found)]
    raise without_right(name)


def without_right(name: str) -> SproutError:
    """The error where no record has a right answer that the reward `name` could compare with."""
    return SproutError(
        f"the reward {name} compares with a right answer, but the records have none: give them a field"
        f" {' or '.join(RIGHT_COLUMNS)}"
    )


def _opened(prompt: str) -> bool:
    """Whether the template has written the beginning of the thought into the prompt."""
    return prompt.rstrip().endswith(THINK)


def _said(prompt: str, completion: str, right) -> str:
    """A completion without its thought, and without calls unless the right answer has some; empty where the thought
    never ended."""
    text = conclusion(THINK + completion if _opened(prompt) else completion)
    return text if CALL in str(right) else before_calls(text)


def _is_in_format(prompt: str, completion: str) -> bool:
    text = THINK + completion if _opened(prompt) else completion.strip()
    if not text.startswith(THINK) or text.count(THINK) != 1 or text.count(THINK_END) != 1:
        return False
    thought, _, answer = text.removeprefix(THINK).partition(THINK_END)
    return bool(thought.strip() and answer.strip())


def _holds(text: str, words: str) -> bool:
    """Whether a text contains some words, and not as a part of longer ones; Chinese has no ends of words."""
    inside = f"[{LETTERS}0-9]"
    before = f"(?<!{inside})" if re.match(inside, words) else ""
    behind = f"(?!{inside})" if re.search(f"{inside}$", words) else ""
    return re.search(before + re.escape(words) + behind, text) is not None


def _number(found: bool | None) -> float | None:
    return None if found is None else float(found)
