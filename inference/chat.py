"""A conversation with a network: its history, and the part that still fits into the prompt."""

from collections.abc import Sequence
from pathlib import Path

from inference.texts import write_records
from model.generation import free_positions


class Chat:
    """The questions and answers so far, and the prompt for the next answer.

    Between a question and its answer there may be calls of tools and their results.

    renderer: a `dataset.rendering.ChatRenderer`, which knows how turns are written.
    positions: those of the network, or fewer. `max_new_tokens` of them (at most half) are kept free for the answer;
        if the conversation is longer than the rest, the prompt leaves out its oldest pairs, but never the system
        message.
    tools: the schemas of what the network may call.
    """

    def __init__(
        self, renderer, positions: int, max_new_tokens: int, system: str | None = None, tools: Sequence[dict] = ()
    ):
        self.renderer = renderer
        self.positions = positions
        self._tools = list(tools)
        self.context = positions - min(max_new_tokens, positions // 2)
        self._system = [] if system is None else [{"role": "system", "content": system}]
        self._turns: list[dict] = []
        self._forgotten = 0  # number of messages at the beginning of `_turns` that the prompt leaves out

    @property
    def messages(self) -> list[dict]:
        """The whole conversation, including what the prompt leaves out."""
        return [*self._system, *self._turns]

    def prompt(self, question: str) -> tuple[list[int], int]:
        """The prompt for an answer to `question`, and how many more pairs it leaves out.

        Raises `SproutError`, and leaves out nothing, for a question that leaves no position for an answer.
        """
        asked = {"role": "user", "content": question}
        start = self._forgotten
        while True:
            ids = self.renderer.prompt([*self._system, *map(_spoken, self._turns[start:]), asked], self._tools)
            if len(ids) <= self.context or start == len(self._turns):
                break
            start = next(iter(self._questions(start + 1)), len(self._turns))
        free_positions([ids], self.positions)
        forgotten = len(self._questions(self._forgotten)) - len(self._questions(start))
        self._forgotten = start
        return ids, forgotten

    def _questions(self, start: int) -> list[int]:
        """Where in `_turns` those of the user stand, from `start` on."""
        return [place for place in range(start, len(self._turns)) if self._turns[place]["role"] == "user"]

    def add(self, question: str, answer: str, thought: str = "", calls: Sequence[dict] = ()) -> None:
        """Keeps a pair of turns; calls: the turns between them."""
        turn = {"role": "assistant", "content": answer} | ({"reasoning_content": thought} if thought else {})
        self._turns += [{"role": "user", "content": question}, *calls, turn]

    def clear(self) -> None:
        """Begins anew; the system message stays."""
        self._turns, self._forgotten = [], 0

    def save(self, path: str | Path) -> None:
        """Writes the whole conversation as a record of the `conversations` format.

        Raises `SproutError` for an empty conversation, and as `write_records` does.
        """
        record = {"conversations": self.messages} | ({"tools": self._tools} if self._tools else {})
        write_records(path, [record] if self._turns else [])


def _spoken(turn: dict) -> dict:
    """A turn without its thought."""
    return {key: value for key, value in turn.items() if key != "reasoning_content"}
