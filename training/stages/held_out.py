"""Means over held-out records, for the stages whose loss is not the next-token loss."""

from collections.abc import Callable, Iterable

import torch


def over_held_out(model, batches: Iterable, machine, score: Callable) -> list:
    """score(batch) of each held-out batch, without gradients and in the precision of the run."""
    found, was_training = [], model.training
    model.eval()
    try:
        with torch.no_grad(), machine.inference():
            for batch in batches:
                machine.poll()
                found.append(score(machine.move(batch)))
    finally:
        model.train(was_training)
    return found


FEWEST_FOR_PERCENT = 100  # records; of fewer, one is more than a percent


def share_of(share: float, count: int, what: str) -> str:
    """A share of some records in words: in percent, or counted where there are few."""
    return f"{share:.1%} of the {what}" if count >= FEWEST_FOR_PERCENT else f"{round(share * count)} of {count} {what}"


def validation_means(model, batches: Iterable, machine, sums_of: Callable, count_of: Callable) -> dict[str, float]:
    """Means over the records in held-out batches, by names that begin with `val_`.

    sums_of(batch) -> sums over the records of a batch, by name; count_of(batch) -> how many records it has.
    """
    totals: dict[str, float] = {}
    count = 0
    for sums, records in over_held_out(model, batches, machine, lambda batch: (sums_of(batch), count_of(batch))):
        for name, value in sums.items():
            totals[name] = totals.get(name, 0.0) + value.item()
        count += records
    return {f"val_{name}": total / count for name, total in totals.items()}
