"""Means over held-out records, for the stages whose loss is not the next-token loss."""

from collections.abc import Callable, Iterable

import torch


def validation_means(model, batches: Iterable, machine, sums_of: Callable, count_of: Callable) -> dict[str, float]:
    """Means over the records in held-out batches, in the precision of the run, by names that begin with `val_`.

    sums_of(batch) -> sums over the records of a batch, by name; count_of(batch) -> how many records it has.
    """
    totals: dict[str, float] = {}
    count, was_training = 0, model.training
    model.eval()
    try:
        with torch.no_grad(), machine.inference():
            for batch in batches:
                machine.poll()
                batch = machine.move(batch)
                for name, value in sums_of(batch).items():
                    totals[name] = totals.get(name, 0.0) + value.item()
                count += count_of(batch)
    finally:
        model.train(was_training)
    return {f"val_{name}": total / count for name, total in totals.items()}
