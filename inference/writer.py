"""A network at work: made ready once, then one text after the other."""

import contextlib
import time
from collections.abc import Callable, Collection, Sequence

import torch

from model.device import Device
from model.generation import TextStream, new_generator, prepare_for_decoding, stream
from model.sampling import PLAIN, Sampling


class Writer:
    """Goes on from tokens, and shows the text as it comes.

    model: is made ready for generating alone (`prepare_for_decoding`).
    dtype: as on the command line; "auto" is float32 on a CPU, which for one token at a time is hardly slower than
        bfloat16, and exact.
    seed: makes every text the same each time; None: a new one each time.
    end_ids: what ends a text; see `end_ids` below.
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
        self._model, self._decode, self._device = model, tokenizer.decode, device.device
        self._end_ids, self._sampling, self._max_new_tokens = end_ids, sampling, max_new_tokens
        self._seed = seed
        self._precision = ready_to_generate(model, device, dtype)

    def write(self, prompt: Sequence[int], show: Callable[[str], None]) -> str:
        """Shows what follows `prompt`, a token's text at a time; returns how fast it came, in words."""
        text, length, started = TextStream(self._decode), 0, time.perf_counter()
        tokens = stream(
            self._model,
            prompt,
            max_new_tokens=self._max_new_tokens,
            sampling=self._sampling,
            eos_ids=self._end_ids,
            generator=new_generator(self._device, self._seed),
        )
        with self._precision():
            for token in tokens:
                length += 1
                show(text.push(token))
        show(text.finish())
        seconds = time.perf_counter() - started
        return f"[{length} tokens in {seconds:.1f} s, {length / seconds:.1f} tokens/s]"


def end_ids(tokenizer, renderer=None) -> set[int]:
    """What ends a document, and a turn as `renderer` writes it.

    <|endoftext|>, which pads as well, is what imported Qwen models end a document with.
    """
    return {tokenizer.eos_id, tokenizer.pad_id} | ({renderer.end_id} if renderer else set())


def ready_to_generate(model, device: Device, dtype: str) -> Callable[[], contextlib.AbstractContextManager]:
    """Readies the network, in place; returns the context to generate in."""
    exact = dtype == "auto" and device.device.type == "cpu"
    prepare_for_decoding(model, device.dtype if device.dtype == torch.bfloat16 and not exact else torch.float32)
    # A residual stream may outgrow float16, so there only products are computed in it, as in training.
    return device.autocast if device.dtype == torch.float16 else contextlib.nullcontext
