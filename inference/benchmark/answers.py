"""Greedy answers to many prompts in one running batch: when a text ends, the next prompt takes its place."""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from inference.server.stops import StopStrings
from inference.text_stream import TextStream
from model.errors import SproutError
from model.running_batch import Row, RunningBatch
from model.sampling import GREEDY


class _Writing:
    def __init__(self, number: int, row: Row, decode, stops: Sequence[str]):
        self.number, self.row, self.text, self.tokens = number, row, "", 0
        self._stream, self._stops = TextStream(decode), StopStrings(stops)

    def take(self, end_ids: Collection[int], max_new_tokens: int) -> bool:
        """Adds the newest token of the row; True once the text is complete."""
        if self.row.newest is None:
            raise SproutError("the network computes values that are not numbers: its weights are damaged")
        self.tokens += 1
        ended = self.row.newest.id in end_ids
        if not ended:
            self.text += self._stops.push(self._stream.push(self.row.newest.id))
            ended = self._stops.found or self.tokens == max_new_tokens
        if ended and not self._stops.found:
            self.text += self._stops.push(self._stream.finish())
            if not self._stops.found:
                self.text += self._stops.finish()
        return ended


def written_answers(
    model,
    prompts: Sequence[Sequence[int]],
    *,
    decode: Callable[[list[int]], str],
    end_ids: Collection[int],
    stops: Sequence[str],
    max_new_tokens: int,
    slots: int,
    vocabulary: int = 0,
    show: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """What the network writes after each prompt, up to a stop string, an end token or `max_new_tokens`.

    model: ready to generate (`inference.writer.ready_to_generate`), in whose precision this is called.
    slots: how many are written at once. vocabulary: as for `Sampling`. show: called with 1 for each complete answer.
    """
    batch, answers, greedy = RunningBatch(model), [""] * len(prompts), replace(GREEDY, vocabulary=vocabulary)
    waiting, writing = deque(sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))), []

    def keep_incomplete(some: list[_Writing]) -> list[_Writing]:
        left = []
        for one in some:
            if one.take(end_ids, max_new_tokens):
                answers[one.number] = one.text
                batch.leave(one.row)
                show(1)
            else:
                left.append(one)
        return left

    while waiting or writing:
        while waiting and len(writing) < slots:
            number = waiting.popleft()
            one = _Writing(number, Row(prompts[number], greedy), decode, stops)
            while not batch.read(one.row):
                pass
            writing += keep_incomplete([one])
        if writing:
            batch.step()
            writing = keep_incomplete(writing)
    return answers
