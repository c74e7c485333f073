"""Ends a text at a stop string, which may be spread over several pieces of the text."""

from collections.abc import Sequence


class StopStrings:
    """Takes and returns pieces of a text; what may begin a stop string is held back until that is known."""

    def __init__(self, stops: Sequence[str]):
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.found = False  # whether a stop string has come; it and what follows do not belong to the text

    def push(self, piece: str) -> str:
        """The text that has become certain."""
        if not self._stops:
            return piece
        text = self._held + piece
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.found, self._held = True, ""
            return text[: min(places)]
        certain = len(text) - max(_beginning_at_end(text, stop) for stop in self._stops)
        self._held = text[certain:]
        return text[:certain]

    def finish(self) -> str:
        """The text that was held back, when no more pieces come."""
        rest, self._held = self._held, ""
        return rest


def _beginning_at_end(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`, which is not in it as a whole."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
