"""Text from a network, for one prompt or many at once.

    new_tokens(model, prompts, max_new_tokens=100, sampling=Sampling(0.8), eos_ids={2})  -> step by step, an id for each
    generate_batch(model, prompts, ...)                                                  -> all ids of each

Random numbers come from a `torch.Generator` of their own, so that generating neither depends on the global
random state nor changes it.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

import torch
from torch import Tensor, nn

from model.attention import visible
from model.config import TransformerConfig
from model.errors import SproutError
from model.sampling import PLAIN, Sampling, sample


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

    Runs in inference mode, with the model in eval mode for the time being. Raises `SproutError` when a prompt leaves no
    position free, or when the network computes something that is not a number; `ValueError` for an empty prompt.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    for newest in new_tokens(model, prompts, max_new_tokens, sampling, eos_ids, generator, stop):
        for answer, token in zip(answers, newest, strict=True):
            if token is not None:
                answer.append(token)
    return answers


def new_generator(device: torch.device | str = "cpu", seed: int | None = None) -> torch.Generator:
    """Random numbers for `new_tokens` and `generate_batch`; without a seed they differ each time."""
    generator = torch.Generator(device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


@torch.inference_mode()  # as a decorator it also leaves inference mode while the caller handles a value
def new_tokens(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    sampling: Sampling = PLAIN,
    eos_ids: Collection[int] = (),
    generator: torch.Generator | None = None,
    stop: Callable[[], bool] | None = None,
) -> Iterator[list[int | None]]:
    """Yields, step by step, the newest token of every prompt, None for those that have ended: see `generate_batch`."""
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


class KVCache:
    """Keys and values of up to `max_length` tokens for every layer, and where each row's text stands.

    Allocated once: growing a cache by concatenation would copy it at every token.

    `documents` [B, max_length] says which document each token belongs to, so that the padding to the left
    of a short prompt (a document of its own) is never attended to; None while every row is one document.
    """

    def __init__(self, config: TransformerConfig, batch_size: int, max_length: int, device=None, dtype=torch.float32):
        shape = (batch_size, config.num_key_value_heads, max_length, config.head_dim)
        self.keys = [torch.empty(shape, device=device, dtype=dtype) for _ in range(config.num_hidden_layers)]
        self.values = [torch.empty(shape, device=device, dtype=dtype) for _ in range(config.num_hidden_layers)]
        self.batch_size, self.max_length, self.device = batch_size, max_length, device
        self.length = 0  # tokens stored so far
        self.documents: Tensor | None = None
        self.next_positions: Tensor | None = None  # [B, 1]; None: every row is at position `length`

    def place(self, positions: Tensor | None, count: int) -> tuple[Tensor, Tensor | None]:
        """Positions [B or 1, T] of the next T = `count` tokens, and the mask [B or 1, 1, T, S] of what they see.

        positions: [B, T], a 0 beginning a new document; None goes on where each row ended. The mask is None where
        none is needed. To be followed by a `write` for every layer; then `length` grows.
        """
        if positions is None and self.documents is None:
            return self._place_in_one_document(count)
        start, end = self.length, self.length + count
        if self.documents is None:
            if start > 0:
                raise ValueError("documents must be told apart from the first token of a cache on")
            self.documents = torch.zeros(self.batch_size, self.max_length, dtype=torch.long, device=self.device)
        newest = self.documents[:, start - 1 : start] if start else 0
        if positions is None:
            positions = self.next_positions + torch.arange(count, device=self.device)
            self.documents[:, start:end] = newest
        else:
            self.documents[:, start:end] = newest + (positions == 0).cumsum(dim=1)
        self.next_positions = positions[:, -1:] + 1
        return positions, visible(self.documents[:, start:end], self.documents[:, :end])

    def _place_in_one_document(self, count: int):
        end = self.length + count
        positions = torch.arange(self.length, end, device=self.device)[None]
        if count == 1 or self.length == 0:
            return positions, None  # one new token sees everything; a whole text is plainly causal
        same = torch.zeros(1, end, dtype=torch.long, device=self.device)
        return positions, visible(same[:, self.length :], same)

    def write(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Stores [B, K, T, h] after the tokens already there and returns all of them as views."""
        end = self.length + keys.shape[2]
        if end > self.max_length:
            raise ValueError(f"the cache holds {self.max_length} tokens, {end} were asked of it")
        self.keys[layer][:, :, self.length : end] = keys
        self.values[layer][:, :, self.length : end] = values
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]
