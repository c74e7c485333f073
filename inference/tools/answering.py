"""Answers to the questions of a file by a network that calls tools, compared with the right ones by exact match.

The network is asked what a user last asked in each conversation; the calls and results that follow there are its own to
make. Its answer is its last turn.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from dataset.rendering import ChatRenderer
from inference.exact_match import Answer, Question
from inference.tools.toolbox import Toolbox
from inference.tools.turns import Episode, converse
from model.sampling import GREEDY


def answer_all_with_tools(
    model,
    questions: Sequence[Question],
    renderer: ChatRenderer,
    toolbox: Toolbox,
    *,
    max_new_tokens: int,
    batch_size: int,
    precision: Callable[[], AbstractContextManager] = nullcontext,
    vocabulary: int = 0,
    note: Callable[[int], None] = lambda again: None,
) -> tuple[list[Answer], Counter]:
    """The network's greedy answer to each question, and how many calls were made, failed and answers cut short.

    max_new_tokens: of a turn. The others are those of `inference.exact_match.answer_all`.
    """
    episodes = []
    greedy = replace(GREEDY, vocabulary=vocabulary)
    with precision():
        for start in range(0, len(questions), batch_size):
            prompts = [question.prompt for question in questions[start : start + batch_size]]
            episodes += converse(model, prompts, renderer, toolbox, max_new_tokens=max_new_tokens, sampling=greedy)
            for _ in prompts:
                note(0)
    counts = Counter(calls=0, failed=0, cut=0)
    for episode in episodes:
        counts.update(calls=episode.calls, failed=episode.failed, cut=episode.truncated)
    return _answers(questions, episodes, renderer), counts


def _answers(questions: Sequence[Question], episodes: Sequence[Episode], renderer: ChatRenderer) -> list[Answer]:
    answers = []
    for question, episode in zip(questions, episodes, strict=True):
        text = renderer.tokenizer.decode(episode.last_turn) if episode.turns else ""
        right = episode.ended and question.is_answered_by(text)
        answers.append(Answer(text, episode.ended, right))
    return answers


def calls_in_words(counts: Counter, answers: int) -> str:
    """How many calls were made, and how many failed."""
    made, failed, cut = (counts[what] for what in ("calls", "failed", "cut"))
    return f"calls: {made:,}, answered with an error: {failed:,}; answers cut short: {cut:,} of {answers:,}"
