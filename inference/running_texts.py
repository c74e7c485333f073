"""Many texts in one running batch: when one ends, the next takes its place."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

from inference.stops import StopStrings
from inference.text_stream import TextStream
from model.errors import SproutError
from model.running_batch import Row, RunningBatch


class RunningText:
    """A text that is being written, up to a stop string, an end token or `max_new_tokens`.

    place: which of the texts it is, for the caller. row: its prompt and how it is sampled.

    Attributes: `text`, what is certain of it; `tokens`, how many it has, with the one that ended it; `ended`, whether
    the network or a stop string has ended it.
    """

    def __init__(
        self,
        place: int,
        row: Row,
        decode: Callable[[list[int]], str],
        *,
        end_ids: Collection[int],
        max_new_tokens: int,
        stops: Sequence[str] = (),
    ):
        self.place = place
        self.row = row
        self.text = ""
        self.tokens = 0
        self.ended = False
        self._end_ids = end_ids
        self._max_new_tokens = max_new_tokens
        self._stream = TextStream(decode)
        self._stops = StopStrings(stops)

    def take(self) -> bool:
        """Adds the newest token of the row; True once the text is complete.

        Raises `SproutError` where the network computed no number.
        """
        token = self.row.newest
        if token is None:
            raise SproutError("the network computes values that are not numbers: its weights are damaged")
        self.tokens += 1
        self.ended = token.id in self._end_ids
        if not self.ended:
            self._add(self._stream.push(token.id))
        if not self.ended and self.tokens < self._max_new_tokens:
            return False
        if not self._stops.found:
            self._add(self._stream.finish())
        if not self._stops.found:
            self.text += self._stops.finish()
        return True

    def _add(self, piece: str) -> None:
        self.text += self._stops.push(piece)
        self.ended = self.ended or self._stops.found


def completed(
    model,
    texts: Iterable[RunningText],
    slots: int,
    precision: Callable[[], AbstractContextManager] = nullcontext,
) -> Iterator[RunningText]:
    """Yields each text as soon as it is complete.

    model: ready to generate (`inference.writer.ready_to_generate`, which returns `precision`). texts: begun in this
    order, `slots` of them at once.
    """
    batch = RunningBatch(model)
    waiting = iter(texts)
    writing: list[RunningText] = []

    def leaving(some: list[RunningText]) -> Iterator[RunningText]:
        for one in some:
            if one.take():
                batch.leave(one.row)
                writing.remove(one)
                yield one

    while True:
        while len(writing) < slots and (one := next(waiting, None)) is not None:
            with precision():
                while not batch.read(one.row):
                    pass
            writing.append(one)
            yield from leaving([one])
        if not writing:
            return
        with precision():
            batch.step()
        yield from leaving(list(writing))
