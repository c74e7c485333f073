"""What several prompts of a batch have in common is read once: whole prompts, as those of a group of answers, and the
beginning of all, as a system message with the schemas of tools, or examples before a question."""

from collections.abc import Iterable, Sequence
from itertools import takewhile

import torch
from torch import Tensor

LEAST_SHARED = 16  # tokens: reading fewer apart costs more than it saves


def read_shared(batch, distinct: Sequence[tuple]) -> int:
    """Reads the tokens that all the `distinct` prompts begin with, for the first slots, which they take.

    batch: a `model.generation.Decoding` that has read nothing. Returns how many tokens these are; 0: too few.
    """
    alike = takewhile(lambda column: len(set(column)) == 1, zip(*distinct))
    shared = min(len(list(alike)), min(map(len, distinct)) - 1)  # one token is left, for what follows it
    if shared < LEAST_SHARED:
        return 0
    cache, count = batch.cache, len(distinct)
    cache.rows = 1
    batch.model.features(torch.tensor([distinct[0][:shared]], device=batch.tokens.device), cache=cache)
    cache.lengths[:count] = shared
    for store in (cache.keys, cache.values):
        store[:, 1:count, :, :shared] = store[:, :1, :, :shared]
    return shared


def copy_to_all(batch, distinct: Iterable[tuple], features: Tensor) -> Tensor:
    """Copies what was read of the `distinct` prompts, in the first slots, to all slots that have one of them.

    batch: a `model.generation.Decoding`. features: of their last tokens; returns those of all slots, [slots, d].
    """
    places = {prompt: place for place, prompt in enumerate(distinct)}
    source = torch.tensor([places[tuple(prompt)] for prompt in batch.prompts], device=features.device)
    cache = batch.cache
    cache.rows = len(source)
    for tensor in (cache.lengths, batch.seen):
        tensor[: len(source)] = tensor[source]
    for store in (cache.keys, cache.values):
        store[:, : len(source), :, : cache.longest] = store[:, source, :, : cache.longest]
    return features[source]
