"""Answers to the questions of a file by a network that calls tools, compared with the right ones by exact match.

The network is asked what a user last asked in each conversation; the calls and results that follow there are its own to
make. Its answer is its last turn.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dataset.records.reading import bar_over
from dataset.rendering import ChatRenderer
from inference.exact_match import Answer, Question, read_questions
from inference.tools.toolbox import Toolbox
from inference.tools.turns import Episode, converse
from inference.writer import ready_to_generate
from model.device import Device
from model.files.loading import Loaded
from model.sampling import GREEDY


def answer_file_with_tools(
    loaded: Loaded,
    path: str | Path,
    device: Device,
    toolbox: Toolbox,
    *,
    max_new_tokens: int,
    batch_size: int,
    dtype: str = "auto",
    format_name: str | None = None,
) -> tuple[list[Question], list[Answer], list[Episode]]:
    """The questions of a chat file, the network's answers, and the conversations that led to them.

    max_new_tokens: of a turn. format_name: of its records, as --format gives it. The network is changed in place and
    can then only generate. Raises `SproutError` for a file that cannot be used.
    """
    renderer = ChatRenderer(loaded.tokenizer)
    questions = read_questions(path, renderer, toolbox.schemas, format_name)
    precision = ready_to_generate(loaded.model, device, dtype)
    episodes, greedy = [], replace(GREEDY, vocabulary=loaded.writable)
    with bar_over(len(questions), "answering", " questions") as bar, precision():
        for start in range(0, len(questions), batch_size):
            prompts = [question.prompt for question in questions[start : start + batch_size]]
            episodes += converse(
                loaded.model, prompts, renderer, toolbox, max_new_tokens=max_new_tokens, sampling=greedy
            )
            bar.update(len(prompts))
    return questions, _answers(questions, episodes, renderer), episodes


def _answers(questions: Sequence[Question], episodes: Sequence[Episode], renderer: ChatRenderer) -> list[Answer]:
    answers = []
    for question, episode in zip(questions, episodes, strict=True):
        text = renderer.tokenizer.decode(episode.last_turn) if episode.turns else ""
        right = episode.ended and question.is_answered_by(text)
        answers.append(Answer(text, episode.ended, right))
    return answers


def calls_in_words(episodes: Sequence[Episode]) -> str:
    """How many calls were made, and how many failed."""
    made, failed = (sum(getattr(episode, what) for episode in episodes) for what in ("calls", "failed"))
    cut = sum(episode.truncated for episode in episodes)
    return f"calls: {made:,}, answered with an error: {failed:,}; answers cut short: {cut:,} of {len(episodes):,}"
