"""Replies of a network of ours."""

from collections.abc import Iterator, Sequence

from dataset.rendering import ChatRenderer
from inference.instruct.checks import LONGEST
from inference.instruct.requests import Reply, Request
from inference.running_texts import RunningText, completed
from inference.writer import ready_to_generate
from model.device import Device
from model.errors import SproutError
from model.files.loading import Loaded
from model.running_batch import Row
from model.sampling import Sampling


class Decoded:
    """loaded: its network is changed in place, and can then only generate. slots: texts written at a time."""

    retried = 0

    def __init__(self, loaded: Loaded, device: Device, dtype: str, slots: int):
        self._model = loaded.model
        self._slots = slots
        self._renderer = ChatRenderer(loaded.tokenizer)
        self._end_ids = loaded.tokenizer.end_ids | self._renderer.end_ids
        self._precision = ready_to_generate(loaded.model, device, dtype)
        self._writable = loaded.writable
        self._positions = loaded.model.config.max_position_embeddings
        self._opening = opening_of_user(self._renderer)

    def replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply]]:
        """A prompt without room for an answer is refused. Raises `SproutError` for a network that is damaged."""
        texts = []
        for place, request in enumerate(requests):
            ids = self._opening
            if request.message is not None:
                ids = self._renderer.prompt([{"role": "user", "content": request.message}])
            room = min(request.max_tokens, self._positions - len(ids))
            if room < 1:
                yield place, Reply("", "refused")
                continue
            how = Sampling(temperature=request.temperature, top_p=request.top_p, vocabulary=self._writable)
            row = Row(ids, how, request.seed)
            ends = {"end_ids": self._end_ids, "max_new_tokens": room}
            texts.append(RunningText(place, row, self._renderer.tokenizer.decode, **ends))
        for one in completed(self._model, texts, self._slots, self._precision):
            finish = "stop" if one.ended else "length"
            yield one.place, Reply(one.text[: LONGEST + 1], finish, len(one.row.prompt), one.tokens)


def opening_of_user(renderer: ChatRenderer) -> list[int]:
    """The ids with which the template opens a turn of the user: what conversations with different questions share."""
    one, other = (renderer.prompt([{"role": "user", "content": text}]) for text in ("A", "中"))
    same = next(place for place, (a, b) in enumerate(zip(one, other)) if a != b)
    if not same:
        raise SproutError(
            "the chat template of this weight puts nothing before a question: --way magpie needs one that does"
        )
    return one[:same]
