"""Writes texts with a network, one after the other; the network is prepared once."""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from inference.text_stream import TextStream, decode_behind
from model.decoding import rearrange
from model.device import Device
from model.generation import new_generator, new_tokens
from model.sampling import PLAIN, Sampling


@dataclass(frozen=True)
class Piece:
    """The part of a text that one more token adds."""

    text: str  # often empty, never half of a character
    tokens: int  # number of tokens so far
    seconds: float  # time since the writing began, including that between the pieces
    token: int | None = None  # its id; None at the end, for the rest of the text


class Writer:
    """Continues tokens, and yields the text as it comes.

    model: changed in place, and can then only generate (`ready_to_generate`).
    dtype: as on the command line; "auto" is float32 on a CPU, which is exact.
    end_ids: the tokens that end a text; those of documents are `Tokenizer.end_ids`.
    seed: makes every text the same each time; None: a new one each time.
    """

    def __init__(
        self,
        model,
        tokenizer,
        device: Device,
        *,
        end_ids: Collection[int],
        dtype: str = "auto",
        sampling: Sampling = PLAIN,
        max_new_tokens: int = 256,
        seed: int | None = None,
    ):
        self._model = model
        self._tokenizer = tokenizer
        self._device = device.device
        self._end_ids = end_ids
        self._sampling = sampling
        self._max_new_tokens = max_new_tokens
        self._seed = seed
        self._precision = ready_to_generate(model, device, dtype)

    def write(self, prompt: Sequence[int], goes_on: bool = False) -> Iterator[Piece]:
        """Yields what follows `prompt`, a piece for each token and one more for what was held back.

        goes_on: whether its text goes on with that of the prompt, and is no text of its own.

        Raises `SproutError` for a prompt that leaves no position for an answer, and where the network computes
        something that is not a number.
        """
        decode = decode_behind(self._tokenizer, prompt) if goes_on else self._tokenizer.decode
        text = TextStream(decode)
        count = 0
        started = time.perf_counter()
        tokens = new_tokens(
            self._model,
            [prompt],
            max_new_tokens=self._max_new_tokens,
            sampling=self._sampling,
            eos_ids=self._end_ids,
            generator=new_generator(self._device, self._seed),
        )
        with self._precision():
            for count, (token,) in enumerate(tokens, 1):
                yield Piece(text.push(token), count, time.perf_counter() - started, token)
        yield Piece(text.finish(), count, time.perf_counter() - started)


def ready_to_generate(model, device: Device, dtype: str) -> Callable[[], contextlib.AbstractContextManager]:
    """Prepares the network in place; returns the context to generate in."""
    exact = dtype == "auto" and device.device.type == "cpu"
    prepare_for_decoding(model, torch.float32 if exact else device.dtype)
    # A residual stream may exceed the range of float16, so only matrix products use it, as in training.
    return device.autocast if device.dtype == torch.float16 else contextlib.nullcontext


def prepare_for_decoding(model: nn.Module, dtype: torch.dtype = torch.float32) -> None:
    """Rearranges a network in place that will only generate (`model.decoding`).

    dtype: of its numbers; with float16 only of its products, since a residual stream may be out of its range.
    """
    model.to(torch.bfloat16 if dtype == torch.bfloat16 else torch.float32)
    with torch.no_grad():
        rearrange(model, dtype)
