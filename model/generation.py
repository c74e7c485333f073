"""Text from a network: one prompt streamed token by token, or many at once.

    stream(model, prompt, max_new_tokens=100, sampling=Sampling(0.8), eos_ids={2})  -> ids, one by one
    generate_batch(model, prompts, ...)                                             -> a list for each

Random numbers come from a `torch.Generator` of their own, so that generating neither depends on the global
random state nor changes it.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

import torch
from torch import Tensor, nn

from model.errors import SproutError
from model.kv_cache import KVCache
from model.sampling import PLAIN, Sampling, sample


def stream(
    model: nn.Module,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    sampling: Sampling = PLAIN,
    eos_ids: Collection[int] = (),
    generator: torch.Generator | None = None,
    stop: Callable[[], bool] | None = None,
) -> Iterator[int]:
    """Yields the tokens that follow `prompt`, each as soon as it is known; see `generate_batch`."""
    for newest in _new_tokens(model, [prompt], max_new_tokens, sampling, eos_ids, generator, stop):
        yield newest[0]


def generate_batch(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    sampling: Sampling = PLAIN,
    eos_ids: Collection[int] = (),
    generator: torch.Generator | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[list[int]]:
    """The tokens that follow each prompt, without the prompt.

    An answer ends with one of `eos_ids`, which is its last token; or without, after `max_new_tokens`, or
    where the positions of the network end (which a prompt longer than the others may bring about for all).

    generator: random numbers, on the device of the model; None: a new one, seeded anew each time.
    stop: asked before every step; once it says yes, what there is so far is returned.

    Runs in inference mode, with the model in eval mode for the time being. Raises `SproutError` when a prompt
    leaves no position free, or when the network computes something that is not a number; `ValueError` for an
    empty prompt.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    for newest in _new_tokens(model, prompts, max_new_tokens, sampling, eos_ids, generator, stop):
        for answer, token in zip(answers, newest, strict=True):
            if token is not None:
                answer.append(token)
    return answers


def new_generator(device: torch.device | str = "cpu", seed: int | None = None) -> torch.Generator:
    """Random numbers for `stream` and `generate_batch`; without a seed they differ each time."""
    generator = torch.Generator(device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


@torch.inference_mode()  # as a decorator it also leaves inference mode while the caller handles a value
def _new_tokens(model, prompts, max_new_tokens, sampling, eos_ids, generator, stop) -> Iterator[list[int | None]]:
    """Yields, step by step, the newest token of every prompt, None for those that have ended."""
    if not prompts:
        return
    config, weight = model.config, model.lm_head.weight
    device = weight.device
    steps = min(max_new_tokens, free_positions(prompts, config.max_position_embeddings))
    tokens, positions = left_padded(prompts, config.pad_token_id, device)
    cache = KVCache(config, len(prompts), tokens.shape[1] + steps, device, _cache_dtype(weight))
    generator = generator or new_generator(device)
    seen = None
    if sampling.repetition_penalty != 1:
        seen = torch.zeros(len(prompts), config.vocab_size, dtype=torch.bool, device=device)
        for row, prompt in zip(seen, prompts, strict=True):
            row[torch.as_tensor(prompt, device=device)] = True

    ended = [False] * len(prompts)
    was_training = model.training
    model.eval()
    try:
        for _ in range(steps):
            if stop is not None and stop():
                return
            logits = model.lm_head(model.features(tokens, positions, cache)[:, -1])  # [B, V]
            if not logits.amax().isfinite():  # the largest of any NaN is NaN
                raise SproutError(
                    "the network computes values that are not numbers: its weights are damaged or come"
                    " from a run that diverged; take an earlier weight"
                )
            newest = sample(logits, sampling, seen, generator)
            if seen is not None:
                seen.scatter_(1, newest[:, None], True)
            values = newest.tolist()
            yield [None if over else value for value, over in zip(values, ended, strict=True)]
            ended = [over or value in eos_ids for value, over in zip(values, ended, strict=True)]
            if all(ended):
                return
            tokens, positions = newest[:, None], None
    finally:
        model.train(was_training)


def free_positions(prompts: Sequence[Sequence[int]], positions: int) -> int:
    """How many tokens fit behind the longest prompt. Raises `SproutError` when none does."""
    if not all(prompts):
        raise ValueError("a prompt needs at least one token, BOS say")
    longest = max(map(len, prompts))
    if longest >= positions:
        raise SproutError(
            f"the prompt has {longest} tokens and the network {positions} positions, which leaves none for an"
            " answer: shorten the prompt"
        )
    return positions - longest


def left_padded(prompts: Sequence[Sequence[int]], pad_id: int, device=None) -> tuple[Tensor, Tensor | None]:
    """Tokens [B, T], every prompt ending in the last column, and positions [B, T] that make each pad a
    document of its own, which the prompt does not see; None where all prompts are of one length.
    """
    longest = max(map(len, prompts))
    tokens = torch.tensor([[pad_id] * (longest - len(p)) + list(p) for p in prompts], device=device)
    if all(len(p) == longest for p in prompts):
        return tokens, None
    lengths = torch.tensor([len(p) for p in prompts], device=device)
    positions = torch.arange(longest, device=device) - (longest - lengths)[:, None]
    return tokens, positions.clamp(min=0)


def _cache_dtype(weight: Tensor) -> torch.dtype:
    """The type of the keys and values that the network computes."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def prepare_for_decoding(model: nn.Module, dtype: torch.dtype = torch.float32) -> None:
    """Rearranges the weights of a network that will only generate, in place; values stay.

    On a CPU nearly all time of a single token goes into products of a matrix with one vector. PyTorch hands
    them to MKL, which reads a matrix [out, in] faster when the numbers of a column lie side by side: up to
    twice as fast for out > in, no faster for the others (measured on an AMD EPYC). Only strides change, so
    nothing else notices.

    dtype: float32 or bfloat16. The residual stream of a large network is out of float16's range: generate under
    autocast instead.
    """
    model.to(dtype)
    if dtype == torch.float32 and model.lm_head.weight.device.type == "cpu":
        for parameter in model.parameters():
            if parameter.dim() == 2 and parameter.shape[0] > parameter.shape[1]:
                parameter.data = parameter.detach().t().contiguous().t()


class TextStream:
    """Tokens in, text out as soon as it is whole: half of a character is held back until the rest has come.

        text = TextStream(tokenizer.decode)
        for token in stream(...):
            print(text.push(token), end="")
        print(text.finish())

    All pieces together are `decode` of all tokens.
    """

    def __init__(self, decode: Callable[[list[int]], str]):
        self._decode = decode
        # Decoding all tokens again for each new one would take quadratic time, and decoding the new one alone
        # would be wrong where a space is dropped at the very beginning: the tokens of the last whole piece
        # are kept as context.
        self._tokens: list[int] = []
        self._context = 0  # how many of them are context
        self._shown = 0  # how many characters of their text have been returned

    def push(self, token: int) -> str:
        """The text that has become certain with this token; often empty, never half a character."""
        self._tokens.append(token)
        text = self._decode(self._tokens)
        # An incomplete character can only stand at the end. It is decoded as one U+FFFD, or as one for each
        # of its bytes, of which there are at most three.
        certain = max(len(text) - 3, len(text.rstrip("\ufffd")))
        new, self._shown = text[self._shown : certain], max(certain, self._shown)
        if certain == len(text) and new:
            self._tokens = self._tokens[self._context :]
            self._context = len(self._tokens)
            self._shown = len(self._decode(self._tokens))
        return new

    def finish(self) -> str:
        """What was held back (U+FFFD for a character that never became whole); the stream begins anew."""
        rest = self._decode(self._tokens)[self._shown :]
        self.__init__(self._decode)
        return rest
