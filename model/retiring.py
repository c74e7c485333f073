"""Texts that have ended leave the batch: the last ones take their slots, so that a step computes only what it needs."""

from collections.abc import Collection


def retire(batch, ended: Collection[int]) -> int:
    """Takes the rows `ended` out of a batch (`model.generation.Decoding`). Returns how many go on.

    On a GPU slots are given up only when half are free, since each number of slots has CUDA graphs of its own; on a
    CPU by eights, since oneDNN makes a program for each.
    """
    rows = batch.rows = [None if row in ended else row for row in batch.rows]
    alive = sum(row is not None for row in rows)
    slots = 1 << (alive - 1).bit_length() if batch.cache.fixed else -(-alive // 8) * 8
    if 0 < slots < len(rows):
        last = [slot for slot in range(slots, len(rows)) if rows[slot] is not None]
        free = [slot for slot in range(slots) if rows[slot] is None][: len(last)]
        cache = batch.cache
        for tensor in (batch.tokens, batch.order, batch.seen, cache.lengths):
            tensor[free] = tensor[last]
        for store in (cache.keys, cache.values):
            store[:, free, :, : cache.longest] = store[:, last, :, : cache.longest]
        for here, there in zip(free, last, strict=True):
            rows[here] = rows[there]
        del rows[slots:]
        cache.rows = slots
    return alive
