"""Prompts that occur several times in a batch, as those of a group of answers do, are read once."""

from collections.abc import Iterable

import torch
from torch import Tensor


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
