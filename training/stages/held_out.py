"""Means over held-out records, for the stages whose loss is not the next-token loss."""

from collections.abc import Callable

import torch

from training.engine import distributed


def over_held_out(model, rows, batch_size: int, machine, score: Callable) -> list:
    """score(batch) of this process's held-out batches, without gradients and in the precision of the run."""
    batches = rows.batches(batch_size, distributed.rank(), distributed.world_size())
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


def validation_means(model, rows, batch_size: int, machine, sums_of: Callable) -> tuple[dict[str, float], int]:
    """Means over the held-out records, shared out among the processes, by names that begin with `val_`; and how many
    records they are of, which rows that were left out make fewer.

    sums_of(batch) -> sums over the records of a batch, by name.
    """
    totals: dict[str, float] = {}
    count = 0

    def numbers_of(batch):
        return {name: value.item() for name, value in sums_of(batch).items()}, batch.records

    for found in distributed.gathered(over_held_out(model, rows, batch_size, machine, numbers_of)):
        for sums, records in found:
            for name, value in sums.items():
                totals[name] = totals.get(name, 0.0) + value
            count += records
    return {f"val_{name}": total / count for name, total in totals.items()}, count
