"""A text that a request has asked for, and the parts in which it becomes certain."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from inference.stops import StopStrings
from inference.text_stream import TextStream
from model.running_batch import Row, RunningBatch, Scored


class Failure(Exception):
    """Why a text cannot be written: an HTTP status, and a message for the client."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Part:
    """The piece of a text that has become certain, and whether the text ends with it."""

    writing: "Writing"
    text: str = ""
    tokens: tuple[tuple[Scored, int], ...] = ()  # each with the place in the text where it begins
    finish: str | None = None  # "stop" or "length" in the last part
    failure: Failure | None = None  # then no part follows


class Writing:
    """A text that a request has asked for: one of its `n` answers to one of its prompts.

    batch, precision: of its network. queue: where its parts go. choice: its `index` in the reply.
    deadline: on the clock of `time.monotonic`; a text that is not complete then ends as one that is too long.
    """

    def __init__(
        self,
        row: Row,
        batch: RunningBatch,
        precision,
        decode,
        queue: asyncio.Queue,
        *,
        choice: int = 0,
        max_tokens: int,
        end_ids: Collection[int],
        stops: Sequence[str] = (),
        deadline: float = float("inf"),
    ):
        self.row = row
        self.batch = batch
        self.precision = precision
        self.queue = queue
        self.choice = choice
        self.max_tokens = max_tokens
        self.end_ids = end_ids
        self.deadline = deadline
        self.count = 0  # tokens of the answer so far
        self.joined = False  # whether the prompt is read
        self._stream = TextStream(decode)
        self._stops = StopStrings(stops)
        self._told = 0  # characters that parts have reported
        self._tokens: list[Scored] = []  # that no part has reported

    def take(self, late: bool = False) -> Part:
        """The part that the newest token of the row adds. late: whether the deadline is over."""
        token = self.row.newest
        if token is None:
            message = "the network computes values that are not numbers: its weights are damaged"
            return Part(self, failure=Failure(500, message))
        self.count += 1
        ended = token.id in self.end_ids
        self._tokens.append(token)
        text = "" if ended else self._push(self._stream.push(token.id))
        if not (ended or self._stops.found or late or self.count >= self.max_tokens):
            return Part(self, text, self._tokens_before(self._told))
        return self.end("stop" if ended else "length", text)

    def end(self, finish: str, text: str = "") -> Part:
        """The last part, with the text that was held back."""
        if not self._stops.found:
            text += self._push(self._stream.finish())
        if self._stops.found:  # the tokens of the stop string do not belong to the answer
            return Part(self, text, self._tokens_before(self._told), "stop")
        rest = self._stops.finish()
        return Part(self, text + rest, self._tokens_before(self._stream.length + 1), finish)

    def _push(self, piece: str) -> str:
        certain = self._stops.push(piece)
        self._told += len(certain)
        return certain

    def _tokens_before(self, place: int) -> tuple[tuple[Scored, int], ...]:
        stream, first = self._stream, self.count - len(self._tokens)
        places = [*stream.places[first:], stream.length]  # an end token stands behind the text
        placed = list(zip(self._tokens, places, strict=False))
        self._tokens = [token for token, at in placed if at >= place]
        return tuple(each for each in placed if each[1] < place)
