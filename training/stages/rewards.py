"""From a batch of judged answers to their rewards, and to the logged measures."""

from collections.abc import Callable

import torch
from torch import Tensor

from dataset.rows.packed import RecordBatch
from model.errors import UsageError
from model.files.reward import Spread
from model.reward import RewardModel, rewards
from model.whole import in_mode
from training.engine.distributed import gathered
from training.losses.reward import bt, hinge, mse
from training.stages.checks import ValidationResult
from training.stages.held_out import FEWEST_FOR_PERCENT, share_of, validation_means
from training.stages.stage_arguments import CENTER

ANSWERS_MEASURED = 256  # so the mean is known to 6 % of the deviation, and the deviation to 4 %
LOSS_OF = {"preference": "bt", "scored": "mse"}  # by default


def loss_for(args, kind: str) -> tuple[str, Callable[[Tensor, Tensor], Tensor]]:
    """The name of the loss, and the loss as a function of rewards [E, R] (E: 2 for pairs, else 1) and labels [R].

    kind: "preference" or "scored". Raises `UsageError` for a loss that does not apply to such data.
    """
    name = args.loss_type or LOSS_OF[kind]
    if (name == "mse") != (kind == "scored"):
        what, other = ("scored answers", "mse") if kind == "scored" else ("pairs", "bt or hinge")
        raise UsageError(f"--loss_type {name} is not for {what}, which the data are: give {other}, or drop the flag")
    if name == "mse" and args.center != CENTER:
        raise UsageError("--center means nothing to scored answers, which the data are: it is for pairs, so drop it")

    def objective(judged: Tensor, labels: Tensor) -> Tensor:
        if name == "bt":
            return bt(*judged, labels, args.center)
        if name == "hinge":
            return hinge(*judged, labels, args.hinge_margin)
        return mse(*judged, labels)

    return name, objective


def judge(model: RewardModel, batch: RecordBatch) -> Tensor:
    """The rewards of a batch, float32 [E, R]: for pairs, chosen and rejected; for scored answers, one row."""
    return rewards(model, batch.tokens, batch.positions, batch.ends).view(-1, batch.records)


def measures(found: Tensor) -> dict[str, Tensor]:
    """The logged measures of rewards [E, R], as sums over records. A pair with equal rewards counts as wrong."""
    found = found.detach()
    sums = {"mean_reward": found.mean(dim=0).sum()}
    if len(found) == 2:
        chosen, rejected = found
        sums |= {"accuracy": (chosen > rejected).sum().float(), "margin": (chosen - rejected).sum()}
    return sums


def measured_spread(model: RewardModel, rows, machine, batch_size: int) -> Spread:
    """Mean and deviation of the rewards of about `ANSWERS_MEASURED` training answers, those that the first epoch begins
    with. They are the same answers at every save, so equal weights have an equal one, to the bit.

    It never polls for a signal: a run that has received one is saved, too.
    """
    values, count = [], 0
    with in_mode(model, training=False), torch.no_grad(), machine.inference():
        for start in range(0, rows.rows_per_epoch, batch_size):
            batch = rows.batch(0, range(start, min(start + batch_size, rows.rows_per_epoch)))
            values.append(judge(model, machine.move(batch)).flatten())
            count += len(values[-1])
            if count >= ANSWERS_MEASURED:
                break
    values = torch.cat(values).cpu().double()
    return Spread(values.mean().item(), values.std(unbiased=False).item(), len(values))


def validate_rewards(model: RewardModel, rows, machine, batch_size: int, objective) -> ValidationResult:
    """Means over the held-out records: `val_loss`, and `measures` under names that begin with `val_`; for scored
    answers also `val_explained`: 1 - mean square error / variance of the scores.

    objective(rewards [E, R], labels [R]) -> loss of each record [R].
    """
    scores = []

    def sums(batch: RecordBatch) -> dict[str, Tensor]:
        found = judge(model, batch)
        sums = {"loss": objective(found, batch.labels).sum(), **measures(found)}
        if len(found) == 1:
            sums["error"] = mse(found[0], batch.labels).sum()
            scores.append(batch.labels)
        return sums

    found, count = validation_means(model, rows, batch_size, machine, sums)
    words = f"validation loss {found['val_loss']:.4f}"
    if "val_accuracy" in found:
        preferred = share_of(found["val_accuracy"], count, "pairs")
        words += f", chosen answer preferred in {preferred}, by {found['val_margin']:.3f}"
    scores = [batch for of_process in gathered([each.cpu() for each in scores]) for batch in of_process]
    if scores:
        error, variance = found.pop("val_error"), torch.cat(scores).double().var(unbiased=False).item()
        if variance:
            found["val_explained"] = 1 - error / variance
            of_few = f" of only {count} answers" if count < FEWEST_FOR_PERCENT else ""
            words += f", {found['val_explained']:.1%} of the variance of the scores explained{of_few}"
    return ValidationResult(found, words)
