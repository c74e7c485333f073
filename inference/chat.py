"""A conversation with a network: its history, and the part that still fits into the prompt."""

from pathlib import Path

from inference.texts import write_records
from model.generation import free_positions


class Chat:
    """The questions and answers so far, and the prompt for the next answer.

    renderer: a `dataset.rendering.ChatRenderer`, which knows how turns are written.
    positions: those of the network, or fewer. `max_new_tokens` of them (at most half) are kept free for the answer;
        if the conversation is longer than the rest, the prompt leaves out its oldest pairs, but never the system
        message.
    """

    def __init__(self, renderer, positions: int, max_new_tokens: int, system: str | None = None):
        self._renderer, self._positions = renderer, positions
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
            ids = self._renderer.prompt([*self._system, *map(_spoken, self._turns[start:]), asked])
            if len(ids) <= self.context or start == len(self._turns):
                break
            start += 2
        free_positions([ids], self._positions)
        forgotten, self._forgotten = (start - self._forgotten) // 2, start
        return ids, forgotten

    def add(self, question: str, answer: str, thought: str = "") -> None:
        """Keeps a pair of turns."""
        turn = {"role": "assistant", "content": answer} | ({"reasoning_content": thought} if thought else {})
        self._turns += [{"role": "user", "content": question}, turn]

    def clear(self) -> None:
        """Begins anew; the system message stays."""
        self._turns, self._forgotten = [], 0

    def save(self, path: str | Path) -> None:
        """Writes the whole conversation as a record of the `conversations` format.

        Raises `SproutError` for an empty conversation, and as `write_records` does.
        """
        write_records(path, [{"conversations": self.messages}] if self._turns else [])


def _spoken(turn: dict) -> dict:
    """A turn without its thought."""
    return {key: value for key, value in turn.items() if key != "reasoning_content"}
