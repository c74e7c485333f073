"""Conversations in which a model calls tools, in the token ids themselves.

What the model sampled is never decoded and encoded again: other ids could come of it than those that it sampled. Behind
its turn stand the ids of the results, which come from outside and carry no gradient: the line break that the template
writes behind the end of a turn, the results, and the header of the next turn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from dataset.records.conversations import Conversation
from dataset.rendering import ChatRenderer
from inference.tools.calls import parse_calls
from inference.tools.toolbox import Toolbox
from model.errors import SproutError
from model.generation import generate_batch
from model.sampling import PLAIN, Sampling

MAX_TURNS = 8  # of the model, until it answers without a call

# The template is asked what follows this call; its own text is constant and short.
_CALLED = (
    {"role": "user", "content": "?"},
    {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": {}}]},
)


class ResultTurns:
    """Writes results of calls as a renderer's template does. Raises `SproutError` where that cannot be done."""

    def __init__(self, renderer: ChatRenderer):
        (called,) = renderer.render([Conversation(_CALLED)])
        self._renderer = renderer
        self._past = called.ids[: np.flatnonzero(called.trained)[-1] + 1].tolist()  # up to the end of the call's turn

    def ids(self, results: Sequence[str]) -> list[int]:
        """What follows the end of a turn with calls, up to where the next turn of the assistant begins.

        results: of its calls, in order. Control tokens that they spell are text.
        """
        ids = self._renderer.prompt([*_CALLED, *({"role": "tool", "content": result} for result in results)])
        past = len(self._past)
        if ids[:past] != self._past:
            raise SproutError("the model's chat template changes a turn once results follow it: it can use no tools")
        return ids[past:]


@dataclass
class Episode:
    """A conversation that a model went on with.

    ids: of the prompt and all that follows. actions: which of them the model sampled, the ends of its turns included.
    ended: the model ended its last turn, and called nothing in it. truncated: anything else; tokens, turns or positions
        were too few.
    between: the turns between the prompt and the last turn, those with calls and their results, as messages.
    """

    ids: list[int]
    actions: list[bool]
    ended: bool = False
    truncated: bool = False
    turns: int = 0  # of the model
    calls: int = 0  # made, those that failed included
    failed: int = 0  # calls that were answered with an error
    between: list[dict] = field(default_factory=list)
    last: int = field(default=0, repr=False)  # where the last turn of the model begins

    @property
    def last_turn(self) -> list[int]:
        """The ids of the last turn of the model, its end included."""
        return self.ids[self.last :]

    def add(self, ids: Sequence[int], action: bool) -> None:
        self.ids += ids
        self.actions += [action] * len(ids)


def converse(
    model: torch.nn.Module,
    prompts: Sequence[Sequence[int]],
    renderer: ChatRenderer,
    toolbox: Toolbox | None,
    *,
    max_new_tokens: int,
    max_turns: int = MAX_TURNS,
    max_length: int | None = None,
    sampling: Sampling = PLAIN,
    generator: torch.Generator | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[Episode]:
    """Goes on with every prompt until the model calls nothing more; all that are open are one ragged batch a turn.

    prompts: ids, such as those of `renderer.prompt(messages, toolbox.schemas)`; without a toolbox, each gets one turn.
    max_new_tokens: of a turn. max_turns: of the model. max_length: tokens of a whole episode; None: the positions of
        the network. Results that do not fit are left out, and so are calls in the last turn: the episode is truncated.
    sampling, generator, stop: as in `new_tokens`; episodes that are open when `stop` says yes are truncated.

    The caller chooses precision and inference mode, as for `generate_batch`, which raises the same errors.
    """
    episodes = [Episode(list(prompt), [False] * len(prompt)) for prompt in prompts]
    positions = model.config.max_position_embeddings
    limit = min(max_length or positions, positions)
    results = ResultTurns(renderer) if toolbox else None
    going_on = episodes
    while going_on:
        for batch in _batches(going_on, max_new_tokens, limit, positions):
            most = min(max_new_tokens, max(limit - len(episode.ids) for episode in batch))
            settings = {"sampling": sampling, "eos_ids": renderer.end_ids, "generator": generator, "stop": stop}
            turns = generate_batch(model, [episode.ids for episode in batch], max_new_tokens=most, **settings)
            for episode, turn in zip(batch, turns, strict=True):
                episode.last = len(episode.ids)
                episode.turns += bool(turn)
                episode.add(turn[: limit - len(episode.ids)], action=True)
        going_on = [one for one in going_on if _goes_on(one, renderer, toolbox, results, max_turns, limit, stop)]
    return episodes


def _batches(episodes: list[Episode], most: int, limit: int, positions: int) -> list[list[Episode]]:
    """All with room for a token, as one batch; but one that the positions leave fewer than `most` tokens is alone,
    since it would shorten the turns of its whole batch."""
    with_room = [episode for episode in episodes if len(episode.ids) < limit]
    together = [episode for episode in with_room if len(episode.ids) + most <= positions]
    alone = [[episode] for episode in with_room if len(episode.ids) + most > positions]
    return ([together] if together else []) + alone


def _goes_on(episode: Episode, renderer, toolbox, results, max_turns: int, limit: int, stop) -> bool:
    """Looks at the turn that has come: adds the results of its calls, or says how the episode has ended."""
    turn = episode.last_turn if episode.turns else []
    if not turn or turn[-1] not in renderer.end_ids:
        episode.truncated = True
        return False
    # With the end of a document, not of a turn, the model says that nothing follows.
    calls = parse_calls(said(renderer, turn)) if toolbox and turn[-1] == renderer.end_id else []
    if not calls:
        episode.ended = True
        return False
    if episode.turns == max_turns:
        episode.truncated = True
        return False
    answers = []
    for call in calls:
        if stop and stop():  # a call may take its seconds
            episode.truncated = True
            return False
        answers.append(toolbox.run(call))
    episode.calls += len(answers)
    episode.failed += sum(answer.failed for answer in answers)
    following = results.ids([answer.text for answer in answers])
    if len(episode.ids) + len(following) >= limit:
        episode.truncated = True
        return False
    episode.add(following, action=False)
    episode.between.append({"role": "assistant", "content": said(renderer, turn)})
    episode.between += [{"role": "tool", "content": answer.text} for answer in answers]
    return True


def said(renderer: ChatRenderer, turn: Sequence[int]) -> str:
    """The text of a turn of the assistant, its tags included, without the end."""
    end = len(turn) - (1 if turn and turn[-1] in renderer.end_ids else 0)
    return renderer.tokenizer.decode(turn[:end], skip_special_tokens=False)
