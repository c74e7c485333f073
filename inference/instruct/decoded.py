"""Replies of a network of ours, in one running batch: when a text ends, the next request takes its place."""

from collections import deque
from collections.abc import Iterator, Sequence

from dataset.rendering import ChatRenderer
from inference.instruct.checks import LONGEST
from inference.instruct.requests import Reply, Request
from inference.text_stream import TextStream
from inference.writer import ready_to_generate
from model.device import Device
from model.errors import SproutError
from model.files.loading import Loaded
from model.running_batch import Row, RunningBatch
from model.sampling import Sampling


class Decoded:
    """loaded: its network is changed in place, and can then only generate. slots: texts written at a time."""

    retried = 0

    def __init__(self, loaded: Loaded, device: Device, dtype: str, slots: int):
        self._model, self._slots = loaded.model, slots
        self._renderer = ChatRenderer(loaded.tokenizer)
        self._end_ids = loaded.tokenizer.end_ids | self._renderer.end_ids
        self._precision = ready_to_generate(loaded.model, device, dtype)
        self._writable = loaded.writable
        self._positions = loaded.model.config.max_position_embeddings
        self._opening = opening_of_user(self._renderer)

    def replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply]]:
        """A prompt without room for an answer is refused. Raises `SproutError` for a network that is damaged."""
        batch, writing = RunningBatch(self._model), []
        waiting = deque(enumerate(requests))
        while waiting or writing:
            while waiting and len(writing) < self._slots:
                place, request = waiting.popleft()
                ids = self._opening
                if request.message is not None:
                    ids = self._renderer.prompt([{"role": "user", "content": request.message}])
                room = min(request.max_tokens, self._positions - len(ids))
                if room < 1:
                    yield place, Reply("", "refused")
                    continue
                how = Sampling(temperature=request.temperature, top_p=request.top_p, vocabulary=self._writable)
                row = Row(ids, how, request.seed)
                with self._precision():
                    while not batch.read(row):
                        pass
                writing.append(_Writing(place, row, room, TextStream(self._renderer.tokenizer.decode)))
                yield from self._complete(writing[-1:], batch, writing)
            if writing:
                with self._precision():
                    batch.step()
                yield from self._complete(list(writing), batch, writing)

    def _complete(self, some: list["_Writing"], batch: RunningBatch, writing: list) -> Iterator[tuple[int, Reply]]:
        for one in some:
            if reply := one.take(self._end_ids):
                batch.leave(one.row)
                writing.remove(one)
                yield one.place, reply


class _Writing:
    def __init__(self, place: int, row: Row, room: int, stream: TextStream):
        self.place, self.row, self._room, self._stream = place, row, room, stream
        self._text, self._count = "", 0

    def take(self, end_ids) -> Reply | None:
        """Adds the newest token of the row; the reply once it is complete."""
        if self.row.newest is None:
            raise SproutError("the network computes values that are not numbers: its weights are damaged")
        token, self._count = self.row.newest.id, self._count + 1
        ended = token in end_ids
        if not ended:
            self._text += self._stream.push(token)
        if not ended and self._count < self._room:
            return None
        text = (self._text + self._stream.finish())[: LONGEST + 1]
        return Reply(text, "stop" if ended else "length", len(self.row.prompt), self._count)


def opening_of_user(renderer: ChatRenderer) -> list[int]:
    """The ids with which the template opens a turn of the user: what conversations with different questions share."""
    one, other = (renderer.prompt([{"role": "user", "content": text}]) for text in ("A", "中"))
    same = next(place for place, (a, b) in enumerate(zip(one, other)) if a != b)
    if not same:
        raise SproutError(
            "the chat template of this weight puts nothing before a question: --way magpie needs one that does"
        )
    return one[:same]
