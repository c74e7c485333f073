"""Thought and answer of a text that thinks first: `<think>`, the thought, `</think>`, the answer.

Only what stands at the beginning is a thought, and it ends at the first end tag: later tags are text of the answer.
"""

from dataclasses import dataclass

THINK, THINK_END = "<think>", "</think>"


@dataclass(frozen=True)
class Said:
    """A text taken apart; blanks around both parts are gone."""

    answer: str  # nothing where the thought never ends
    thought: str | None = None  # None: it did not think
    thought_ended: bool = True


def take_apart(text: str) -> Said:
    text = text.strip()
    if not text.startswith(THINK):
        return Said(text)
    thought, end, answer = text.removeprefix(THINK).partition(THINK_END)
    return Said(answer.strip(), thought.strip(), bool(end))


class ThoughtStream:
    """The same for a text that comes in pieces: each is taken apart as soon as it is sure what it is.

        for piece in pieces:
            thought, answer = parts.push(piece)
        thought, answer = parts.finish()

    All thoughts together are that of `take_apart`, all answers the answer, but for blanks at its end. A text that does
    not think comes through unchanged.
    """

    def __init__(self):
        self.thinks = False  # whether it began with a thought
        self.ended = False  # and the thought with its tag
        self._answers = False  # whether all that comes is answer
        self._shown = False  # whether something of the thought was returned
        self._held = ""

    def push(self, piece: str) -> tuple[str, str]:
        """(thought, answer), mostly one of them empty."""
        if self._answers:
            return "", piece
        text, self._held = self._held + piece, ""
        if not self.thinks:
            beginning = text.lstrip()
            if len(beginning) < len(THINK) and THINK.startswith(beginning):
                self._held = text
                return "", ""
            if not beginning.startswith(THINK):
                self._answers = True
                return "", text
            self.thinks, text = True, beginning.removeprefix(THINK)
        thought = ""
        if not self.ended:
            thought, tag, text = text.partition(THINK_END)
            self.ended = bool(tag)
            come = thought if self._shown else thought.lstrip()
            thought = come.rstrip() if self.ended else _surely_inside(come)
            self._held = "" if self.ended else come.removeprefix(thought)
            self._shown = self._shown or bool(thought)
        answer = text.lstrip()
        self._answers = self.ended and bool(answer)
        return thought, answer

    def finish(self) -> tuple[str, str]:
        """What was held back: a tag that never became whole is text."""
        rest, self._held = self._held, ""
        return (rest.rstrip(), "") if self.thinks else ("", rest)


def _surely_inside(thought: str) -> str:
    """`thought` without its end, where that may be the beginning of the end tag, or blanks before it."""
    start = thought.rfind("<")
    if start >= 0 and THINK_END.startswith(thought[start:]):
        thought = thought[:start]
    return thought.rstrip()


def conclusion(text: str) -> str:
    """All of an answer, or what stands behind its thought; unfinished thoughts conclude nothing."""
    return take_apart(text).answer
