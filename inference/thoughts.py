"""Splits a text into thought and answer: `<think>`, the thought, `</think>`, the answer.

A thought begins the text and ends at the first end tag; later tags belong to the answer.
"""

from dataclasses import dataclass

THINK, THINK_END = "<think>", "</think>"


@dataclass(frozen=True)
class Said:
    """A text split into its parts, without the blanks around them."""

    answer: str  # empty if the thought never ends
    thought: str | None = None  # None: it did not think
    thought_ended: bool = True


def take_apart(text: str) -> Said:
    text = text.strip()
    if not text.startswith(THINK):
        return Said(text)
    thought, end, answer = text.removeprefix(THINK).partition(THINK_END)
    return Said(answer.strip(), thought.strip(), bool(end))


class ThoughtStream:
    """Splits a text that comes in pieces; returns each part as soon as it is known what it belongs to.

        for piece in pieces:
            thought, answer = parts.push(piece)
        thought, answer = parts.finish()

    The joined thoughts and answers are those of `take_apart`, except for blanks at the end of the answer. A text
    without a thought comes through unchanged.
    """

    def __init__(self):
        self.thinks = False  # whether the text began with a thought
        self.ended = False  # whether the end tag of the thought has come
        self._answers = False  # whether whatever comes now belongs to the answer
        self._shown = False  # whether a part of the thought has been returned
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
        """(thought, answer) of what was held back; an incomplete tag is text."""
        rest, self._held = self._held, ""
        return (rest.rstrip(), "") if self.thinks else ("", rest)


def _surely_inside(thought: str) -> str:
    """`thought` without an end that may be the beginning of the end tag, or blanks before it."""
    start = thought.rfind("<")
    if start >= 0 and THINK_END.startswith(thought[start:]):
        thought = thought[:start]
    return thought.rstrip()


def conclusion(text: str) -> str:
    """A text without its thought; empty where the thought never ended."""
    return take_apart(text).answer
