"""Text from a network, for one prompt or many at once.

    new_tokens(model, prompts, max_new_tokens=100, sampling=Sampling(0.8), eos_ids={2})  -> step by step, an id for each
    generate_batch(model, prompts, ...)                                                  -> all ids of each

Random numbers come from a `torch.Generator` of their own: the global random state is neither used nor changed. A text
that has ended leaves the batch; each of the others keeps its random numbers, so it changes by rounding alone.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

import torch
from torch import Tensor, nn

from model.attention import KVCache
from model.errors import SproutError
from model.sampling import PLAIN, Sampling, sample
from model.whole import in_mode


def generate_batch(model: nn.Module, prompts: Sequence[Sequence[int]], **settings) -> list[list[int]]:
    """All tokens that `new_tokens` yields for each prompt; `settings` are its others."""
    answers: list[list[int]] = [[] for _ in prompts]
    for newest in new_tokens(model, prompts, **settings):
        for answer, token in zip(answers, newest, strict=True):
            if token is not None:
                answer.append(token)
    return answers


def new_generator(device: torch.device | str = "cpu", seed: int | None = None) -> torch.Generator:
    """Random numbers for `new_tokens` and `generate_batch`; without a seed they differ each time."""
    generator = torch.Generator(device)
    generator.seed() if seed is None else generator.manual_seed(seed)
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
    """Yields, step by step, the newest token of every prompt, None for those that have ended.

    An answer ends with one of `eos_ids`, which is its last token; or without, after `max_new_tokens`, or
    where the positions of the network end (which a prompt longer than the others may bring about for all).

    generator: random numbers, on the device of the model; None: a new one, seeded anew each time.
    stop: asked before every step; once it says yes, no more tokens come.

    Runs in inference mode, with the model in eval mode for the time being. Raises `SproutError` when a prompt leaves no
    position free, or when the network computes something that is not a number; `ValueError` for an empty prompt.
    """
    steps = min(max_new_tokens, free_positions(prompts, model.config.max_position_embeddings)) if prompts else 0
    if steps == 0:
        return
    with in_mode(model, training=False):
        batch = Decoding(model, prompts, steps, sampling, generator)
        for _ in range(steps):
            if stop is not None and stop():
                return
            newest = batch.next()
            yield newest
            if ended := {row for row, token in enumerate(newest) if token in eos_ids}:
                from model.retiring import retire

                if not retire(batch, ended):
                    return


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


class Decoding:
    """Texts being written. Slot i of every tensor belongs to the prompt `rows[i]`; None: its text has ended.

    The first step takes whole prompts, padded on the right, for no token looks ahead; each later one a token a slot.
    """

    def __init__(self, model, prompts, steps: int, sampling: Sampling, generator: torch.Generator | None):
        device, B, dtype = model.model.embed_tokens.weight.device, len(prompts), product_type(model)
        if device.type == "cuda" or B * steps >= 1000:  # on a CPU, it does not pay for fewer tokens
            from model.decoding import rearranged

            model = rearranged(model, dtype)
        self.model, self.prompts, self.sampling = model, prompts, sampling
        self.generator = generator or new_generator(device)
        capacity = -(-(max(map(len, prompts)) + steps) // 8) * 8  # by eights, as a GPU's kernels want masks
        self.cache = getattr(model, "Cache", KVCache)(model.config, B, capacity, device, dtype)
        self.rows: list[int | None] = list(range(B))
        self.order = torch.arange(B, device=device)  # the same on the device
        self.tokens = torch.zeros(B, 1, dtype=torch.long, device=device)  # the newest; -1: not a number
        self.seen = torch.zeros(B, model.config.vocab_size, dtype=torch.bool, device=device)
        if device.type == "cuda":
            from model.cuda_graphs import use_graphs

            use_graphs(self)  # they take the place of `step` and `read_prompts`

    def next(self) -> list[int | None]:
        """The newest token of each prompt, None for those that have ended."""
        if self.cache.longest:
            self.step()
        else:
            self.read_prompts()
        written = dict(zip(self.rows, self.tokens[: len(self.rows), 0].tolist(), strict=True))
        newest = [written.get(row) for row in range(len(self.prompts))]
        if -1 in newest:
            raise SproutError(
                "the network computes values that are not numbers: its weights are damaged or come"
                " from a run that diverged; take an earlier weight"
            )
        return newest

    def read_prompts(self) -> None:
        distinct = list(dict.fromkeys(map(tuple, self.prompts)))
        count, lengths, shared = len(distinct), torch.tensor([len(prompt) for prompt in distinct]), 0
        if count > 1 and lengths.min() > 16:  # a shorter beginning is not worth reading apart
            from model.repeated import read_shared

            shared = read_shared(self, distinct)
        # The padding repeats a token of the prompt, and so counts for no other token that was seen.
        padded = [[*prompt, *[prompt[-1]] * (int(lengths.max()) - len(prompt))] for prompt in distinct]
        tokens = torch.tensor(padded, device=self.tokens.device)
        self.seen[:count].scatter_(1, tokens, True)
        self.cache.rows = count
        features = self.model.features(tokens[:, shared:], cache=self.cache)
        self.cache.lengths[:count] = lengths
        last = features[self.order[:count], self.cache.lengths[:count] - 1 - shared]
        if count < len(self.prompts):
            from model.repeated import copy_to_all

            last = copy_to_all(self, distinct, last)
        self.choose(last)

    def step(self) -> Tensor:
        """The next token of every slot, on the device alone: nothing here waits for it. Returns the logits."""
        tokens = self.tokens[: len(self.rows)].clamp(min=0)  # what stands behind an end may be no number
        self.seen[: len(self.rows)].scatter_(1, tokens, True)
        return self.choose(self.model.features(tokens, cache=self.cache)[:, -1])

    def choose(self, features: Tensor) -> Tensor:
        slots, logits = len(features), self.model.lm_head(features)  # [slots, V]
        seen, order = self.seen[:slots], self.order[:slots]
        newest = sample(logits, self.sampling, seen, self.generator, (order, len(self.prompts)))
        self.tokens[:slots, 0] = newest.masked_fill(~logits.amax(-1).isfinite(), -1)  # the largest of any NaN is NaN
        return logits


def product_type(model: nn.Module) -> torch.dtype:
    """The type of a network's products here, and so of its keys: that it is rearranged for, or that of autocast."""
    weight = model.model.embed_tokens.weight
    kind = weight.device.type
    plain = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
    return getattr(model.lm_head, "dtype", plain)
