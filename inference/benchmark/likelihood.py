"""How probable a network finds given continuations of given contexts: log p(continuation | context), in nats.

Token ids are made as lm-evaluation-harness makes them: those of a continuation are what `encode(context +
continuation)` has more than `encode(context)`, and spaces at the end of a context belong to the continuation, since
tokenizers join a space to the word behind it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from model.attention import KVCache
from model.errors import SproutError
from model.generation import product_type
from model.likelihood import chunk_length
from model.whole import in_mode

TOKENS_AT_ONCE = {"cpu": 1024}  # what a CPU computes of more does not stay in its caches; a GPU takes 16,384
PAIRS_AT_ONCE = 1024  # encoded at a time: with examples, the ids of a whole benchmark would take gigabytes
LEAST_SHARED = 16  # tokens that sharing a context must save; fewer are computed again in less time


@dataclass(frozen=True)
class Request:
    """Ids of a context, at least one, and of its continuation."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]


def requests_for(tokenizer, pairs: Sequence[tuple[str, str]], bos: bool = True) -> list[Request]:
    """The ids of (context, continuation) pairs.

    bos: whether BOS stands first, as in training; False: only before an empty context.
    Raises `SproutError` for a continuation that no token is left for.
    """
    requests = []
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        requests += _requests_for(tokenizer, pairs[start : start + PAIRS_AT_ONCE], bos)
    return requests


def _requests_for(tokenizer, pairs: Sequence[tuple[str, str]], bos: bool) -> list[Request]:
    moved = []
    for context, continuation in pairs:
        bare = context.rstrip()
        moved.append((bare, context[len(bare) :] + continuation))
    distinct = list(dict.fromkeys(context for context, _ in moved))
    contexts = {context: tuple(ids) for context, ids in zip(distinct, tokenizer.encode_batch(distinct), strict=True)}
    led = {text: (tokenizer.bos_id, *ids) if bos or not ids else ids for text, ids in contexts.items()}
    wholes = tokenizer.encode_batch([context + continuation for context, continuation in moved])
    requests = []
    for (context, continuation), whole in zip(moved, wholes, strict=True):
        after = whole[len(contexts[context]) :]
        if not after:
            raise SproutError(f"the choice {continuation!r} has no token of its own behind its context")
        requests.append(Request(led[context], tuple(after)))  # the choices of an item share its context in memory
    return requests


@torch.inference_mode()
def log_likelihoods(
    model,
    requests: Sequence[Request],
    positions: int,
    *,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    batch_size: int | None = None,
    show: Callable[[int], None] = lambda done: None,
) -> list[float]:
    """The log-likelihood of each continuation.

    positions: how many tokens the network sees; what is too long loses its beginning.
    batch_size: rows at once (default: as many as have `TOKENS_AT_ONCE`).
    show: called with the number of requests that have been dealt with since the last call.
    """
    device = model.model.embed_tokens.weight.device
    whole, shared = _by_way(_grouped(requests, positions))
    found = [0.0] * len(requests)
    with in_mode(model, training=False), autocast():
        for some, compute in ((whole, _whole), (shared, _after_prefixes)):
            for few in _batches(some, batch_size, TOKENS_AT_ONCE.get(device.type, 16384)):
                features, rows = compute(model, few, device)
                _look_up(model, features, rows, found)
                show(sum(len(asked) for asked in rows))
    if not all(map(math.isfinite, found)):
        raise SproutError("the network computes values that are not numbers: its weights are damaged or it diverged")
    return found


@dataclass(frozen=True)
class Group:
    """A context, and what follows its beginning: tails of ids, and for each tail the requests that read it."""

    context: tuple[int, ...]
    tails: dict[tuple[int, ...], list[tuple[int, tuple[int, ...]]]]

    @property
    def prefix(self) -> tuple[int, ...]:
        """What all tails share."""
        return self.context[:-1]

    def size(self) -> int:
        """Tokens that keys and values are kept of."""
        return len(self.tails) * (len(self.prefix) + max(map(len, self.tails)))


def _grouped(requests: Sequence[Request], positions: int) -> list[Group]:
    """The requests by what the network reads for them. Raises `SproutError` for an answer that leaves no context."""
    groups: dict[tuple[int, ...], Group] = {}
    for number, request in enumerate(requests):
        ids = (request.context + request.continuation)[-positions - 1 :]
        context = ids[: -len(request.continuation)]
        if not context:
            raise SproutError(
                f"an answer has {len(ids)} tokens, more than the {positions} that the network sees at once"
            )
        group = groups.setdefault(context, Group(context, {}))
        # What the network reads last; the answers A to D, of one token each, differ only in what is looked up.
        tail = context[-1:] + ids[len(context) : -1]
        group.tails.setdefault(tail, []).append((number, ids[len(context) :]))
    return list(groups.values())


def _by_way(groups: list[Group]) -> tuple[list[Group], list[Group]]:
    """Groups of one tail each, to be read as a whole, and those whose prefix is worth reading once for all tails."""
    whole, shared = [], []
    for group in groups:
        if (len(group.tails) - 1) * len(group.prefix) < LEAST_SHARED:
            whole += [Group(group.context, {tail: asked}) for tail, asked in group.tails.items()]
        else:
            shared.append(group)
    return whole, shared


def _batches(groups: list[Group], batch_size: int | None, most: int) -> Iterator[list[Group]]:
    """The groups in batches, the largest first, so that memory that does not suffice shows at once."""
    groups = sorted(groups, key=lambda group: (-len(group.prefix), -group.size()))
    start = 0
    while start < len(groups):
        end, tokens = start, 0
        while end < len(groups) and (end == start or tokens + groups[end].size() <= most):
            tokens += groups[end].size()
            end += 1
        end = start + batch_size if batch_size else end
        yield groups[start:end]
        start = end


def _whole(model, groups: list[Group], device) -> tuple[Tensor, list]:
    """The last hidden states of contexts with one tail each, [B, T, D], and for each row what is asked of its end."""
    rows = [(group.prefix + tail, asked) for group in groups for tail, asked in group.tails.items()]
    features = model.features(_padded([ids for ids, _ in rows], device))
    return features, [[(number, len(ids), target) for number, target in asked] for ids, asked in rows]


def _after_prefixes(model, groups: list[Group], device) -> tuple[Tensor, list]:
    """The same of tails alone: every prefix is read once, and its keys and values are copied for each tail."""
    dtype = product_type(model)
    tails = [(owner, tail, asked) for owner, group in enumerate(groups) for tail, asked in group.tails.items()]
    prefixes = _padded([group.prefix for group in groups], device)
    read = KVCache(model.config, len(groups), prefixes.shape[1], device, dtype)
    model.features(prefixes, cache=read)
    ends = _padded([tail for _, tail, _ in tails], device)
    capacity = -(-(prefixes.shape[1] + ends.shape[1]) // 8) * 8  # kernels of a GPU take no mask of another width
    cache = KVCache(model.config, len(tails), capacity, device, dtype)
    owners = torch.tensor([owner for owner, _, _ in tails], device=device)
    for new, old in ((cache.keys, read.keys), (cache.values, read.values)):
        new[:, :, :, : read.capacity] = old[:, owners]
    cache.lengths[:] = torch.tensor([len(groups[owner].prefix) for owner, _, _ in tails], device=device)
    cache.longest = read.capacity
    features = model.features(ends, cache=cache)
    return features, [[(number, len(tail), target) for number, target in asked] for _, tail, asked in tails]


def _padded(rows: Sequence[Sequence[int]], device) -> Tensor:
    """[B, T], filled up on the right by zeros, which nothing before them sees."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device)


def _look_up(model, features: Tensor, rows: list, found: list[float]) -> None:
    """Adds up the log-probabilities of targets. rows: for each row [(request, tokens read, its target ids)]."""
    places, tokens, owners = [], [], []
    for row, asked in enumerate(rows):
        for number, end, target in asked:
            start = row * features.shape[1] + end - len(target)
            places += range(start, start + len(target))
            tokens += target
            owners += [number] * len(target)
    flat, step = features.flatten(0, 1), chunk_length(model.model.embed_tokens.weight)
    for start in range(0, len(places), step):
        part = slice(start, start + step)
        logits = model.lm_head(flat[torch.tensor(places[part], device=flat.device)]).float()
        own = logits.gather(1, torch.tensor(tokens[part], device=flat.device)[:, None])[:, 0]
        for number, value in zip(owners[part], (own - logits.logsumexp(-1)).tolist(), strict=True):
            found[number] += value
