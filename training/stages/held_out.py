"""Means over held-out records, for the stages whose loss is not the next-token loss."""

from collections.abc import Callable

import torch

from model.whole import in_mode
from training.engine import distributed


def over_held_out(model, rows, batch_size: int, machine, score: Callable) -> list:
    """score(batch) of this process's held-out batches, without gradients and in the precision of the run."""
    scores = []
    with in_mode(model, training=False), torch.no_grad(), machine.inference():
        for batch in rows.batches(batch_size, distributed.rank(), distributed.world_size()):
            machine.poll()
            scores.append(score(machine.move(batch)))
    return scores


FEWEST_FOR_PERCENT = 100  # records; of fewer, one is more than a percent


def share_of(share: float, count: int, what: str) -> str:
    """A share of some records in words: in percent, or counted where there are few."""
    return f"{share:.1%} of the {what}" if count >= FEWEST_FOR_PERCENT else f"{round(share * count)} of {count} {what}"


def validation_means(model, rows, batch_size: int, machine, sums_of: Callable) -> tuple[dict[str, float], int]:
    """Means over the held-out records, shared out among the processes, by names that begin with `val_`; and how many
    records they are of, which rows that were left out make fewer.

    sums_of(batch) -> sums over the records of a batch, by name.
    """
    names, records = [], []

    def score(batch):
        sums = sums_of(batch)
        names[:] = sums
        records.append(batch.records)
        return torch.stack([*sums.values()])

    scores = over_held_out(model, rows, batch_size, machine, score)
    read = torch.stack(scores).tolist() if scores else []  # once, so that a GPU never waits
    parts = distributed.gathered((dict(zip(names, map(sum, zip(*read)))), sum(records)))
    totals, count = {}, sum(records for _, records in parts)
    for sums, _ in parts:
        for name, value in sums.items():
            totals[name] = totals.get(name, 0.0) + value
    return {f"val_{name}": total / count for name, total in totals.items()}, count
