"""The texts that one request asked for, from their prompts to their last parts."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from inference.server.engine import Busy, Engine
from inference.server.parameters import BadRequest
from inference.server.requests import Asked, Chat, Completion
from inference.server.shelf import Served
from inference.server.writing import Part, Writing
from inference.text_stream import TextStream, decode_behind
from inference.tools.calls import CALL
from model.running_batch import Row

COMPLETION_TOKENS = 16  # of a completion that names no limit, as OpenAI has it


@dataclass
class Prompt:
    ids: list[int]
    text: str = ""
    offsets: list[int] = field(default_factory=list)  # where each token begins in the text; only if it is reported


def chat_prompt(served: Served, asked: Chat) -> Prompt:
    """The conversation, the header of the answer, and what the answer has to begin with.

    Raises `SproutError`, and `BadRequest` for one that is too long, however few tokens it may have.
    """
    spans = served.renderer.written(asked.messages, asked.tools)
    _refuse_far_too_long(served, sum(len(span.text) for span in spans))
    (rendered,) = served.renderer.encode([spans])
    ids = rendered.ids.tolist()
    tokenizer = served.renderer.tokenizer
    if asked.beginning:
        tag = tokenizer.vocab.get(CALL)
        rest = asked.beginning if tag is None else asked.beginning.removeprefix(CALL)
        ids += ([] if tag is None else [tag]) + tokenizer.encode(rest)
    return Prompt(ids)


def completion_prompts(served: Served, asked: Completion) -> list[Prompt]:
    """The prompts as ids. A text begins as `Served.begins_texts` says; ids are taken as they are.

    Raises `SproutError` for a text that cannot be encoded, `BadRequest` for an id outside the vocabulary and for a text
    that is too long, however few tokens it may have.
    """
    tokenizer = served.tokenizer
    prompts = []
    size = served.loaded.model.config.vocab_size
    texts = [given for given in asked.prompts if isinstance(given, str)]
    _refuse_far_too_long(served, max(map(len, texts), default=0))
    encoded = iter(tokenizer.encode_batch(texts))  # `encode` holds up all threads of the server meanwhile
    for given in asked.prompts:
        if isinstance(given, str):
            ids = [tokenizer.bos_id] * (served.begins_texts or not given) + next(encoded)
        else:
            ids = given
            if not all(0 <= token < size for token in ids):
                raise BadRequest(f"a token id must be from 0 to {size - 1}", "prompt")
        prompt = Prompt(list(ids))
        if asked.echo:
            prompt.text = given if isinstance(given, str) else tokenizer.decode(ids)
            if asked.top is not None and len(ids) <= served.positions:  # a longer one is refused, and may take hours
                prompt.offsets = offsets_of(tokenizer, ids)
        prompts.append(prompt)
    return prompts


def _refuse_far_too_long(served: Served, characters: int) -> None:
    """Spares finding the tokens of a text that has too many of them anyway: seconds and gigabytes for one of 4 MB."""
    if characters > served.positions * served.longest_token:
        raise _too_long(f"more than {served.positions}", served)


def _too_long(tokens: int | str, served: Served) -> BadRequest:
    return BadRequest(
        f"the prompt has {tokens} tokens, and this server allows {served.positions} for a prompt and its answer"
        " together: shorten it",
        code="context_length_exceeded",
    )


def offsets_of(tokenizer, ids: list[int]) -> list[int]:
    """The places in the text at which the tokens begin; a token inside a character has the place of that character."""
    stream = TextStream(tokenizer.decode)
    for token in ids:
        stream.push(token)
    return stream.places


class Exchange:
    """Submits the texts, hands out their parts, and frees their places whatever happens (`close`).

    default: the most tokens of an answer where the request names no limit. seconds: that the request may take.

    Raises `BadRequest` for a prompt without room for an answer, and where too many texts wait.
    """

    def __init__(self, engine: Engine, served: Served, asked: Asked, prompts: list[Prompt], default: int, seconds: int):
        self.served = served
        self.asked = asked
        self.prompts = prompts
        self._engine = engine
        self._queue = asyncio.Queue()
        self.writings = [
            self._writing(number * asked.n + answer, answer, prompt, default, seconds)
            for number, prompt in enumerate(prompts)
            for answer in range(asked.n)
        ]
        try:
            engine.submit(self.writings)
        except Busy as error:
            raise BadRequest("too many texts wait already: ask again later", status=429, code="busy") from error
        served.users += 1

    def _writing(self, choice: int, answer: int, prompt: Prompt, default: int, seconds: int) -> Writing:
        asked = self.asked
        room = self.served.positions - len(prompt.ids)
        wanted = default if asked.max_tokens is None else asked.max_tokens
        if room < min(wanted, 1):
            raise _too_long(len(prompt.ids), self.served)
        row = Row(
            prompt.ids,
            replace(asked.sampling, vocabulary=self.served.loaded.writable),
            None if asked.seed is None else (asked.seed + answer) % 2**63,
            presence=asked.presence,
            frequency=asked.frequency,
            top=asked.top,
            scores_prompt=bool(prompt.offsets),
        )
        tokenizer = self.served.tokenizer
        return Writing(
            row,
            self.served.batch,
            self.served.precision,
            decode_behind(tokenizer, prompt.ids) if isinstance(asked, Completion) else tokenizer.decode,
            self._queue,
            choice=choice,
            max_tokens=min(wanted, room),
            end_ids=self.served.end_ids,
            stops=asked.stops,
            deadline=time.monotonic() + seconds,
        )

    async def parts(self) -> AsyncIterator[Part]:
        """All parts, as they come. Raises `Failure` where a text failed."""
        open_ones = len(self.writings)
        while open_ones:
            part = await self._queue.get()
            if part.failure:
                raise part.failure
            open_ones -= part.finish is not None
            yield part

    @property
    def usage(self) -> tuple[int, int]:
        """Tokens of the prompts, each counted once, and of the answers so far."""
        return sum(len(prompt.ids) for prompt in self.prompts), sum(one.count for one in self.writings)

    def close(self) -> None:
        self._engine.leave(self.writings)
        self.served.users -= 1
