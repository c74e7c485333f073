"""From a batch of pairs to the log-probabilities that a preference loss compares, and to the logged measures.

`training/stages/unpaired.py` has the same functions for single answers; `train_dpo.py` calls those of one of the two.
"""

import math
from collections.abc import Iterable, Iterator

from torch import Tensor

from dataset.rows.packed import RecordBatch
from training.losses import preference
from training.losses.preference import WITHOUT_REFERENCE, Completions, Settings
from training.stages.checks import ValidationResult
from training.stages.held_out import share_of, validation_means
from training.stages.reference import answer_log_probabilities


def passes_beside(live: bool) -> int:
    """How many forward passes a step makes beside that of the policy: a live reference reads the answers, too."""
    return 1 if live else 0


def compare_batches(
    model, batches: Iterable[RecordBatch], machine, reference=None
) -> Iterator[tuple[RecordBatch, Completions, Tensor]]:
    """Each micro-batch of a step, with what `compare` returns of it."""
    for batch in batches:
        with machine.autocast():
            pairs, entropy = compare(model, batch, reference)
        yield batch, pairs, entropy


def compare(model, batch: RecordBatch, reference=None) -> tuple[Completions, Tensor]:
    """Both answers of every pair under `model`, and the sum of the entropies of their tokens.

    The reference's log-probabilities come from the batch, or else from the network `reference`.
    """
    known = batch.reference
    if known is None and reference is not None:
        # With gradients, though none is used, so that the kernels are the same: see `training.stages.reference`.
        known = answer_log_probabilities(reference, batch)[0].detach()
    sums, counts, entropy = answer_log_probabilities(model, batch)
    of_reference = (None, None) if known is None else known.view(2, -1)
    return Completions(*sums.view(2, -1), *counts.view(2, -1), *of_reference), entropy


def measures(pair: Completions, beta: float) -> dict[str, Tensor]:
    """The logged measures as sums over pairs. A reward is beta times the log-ratio to the reference; without a
    reference, it is beta times the mean log-probability of a token."""
    if pair.reference_chosen is None:
        chosen, rejected = pair.chosen / pair.chosen_tokens, pair.rejected / pair.rejected_tokens
    else:
        chosen, rejected = pair.chosen_ratio, pair.rejected_ratio
    chosen, rejected = beta * chosen.detach(), beta * rejected.detach()
    return {
        "rewards/chosen": chosen.sum(),
        "rewards/rejected": rejected.sum(),
        "rewards/accuracies": (chosen > rejected).sum().float(),
        "rewards/margins": (chosen - rejected).sum(),
        "logps/chosen": pair.chosen.detach().sum(),
        "logps/rejected": pair.rejected.detach().sum(),
    }


def note(step, batch: RecordBatch, pair: Completions, entropy: Tensor, beta: float) -> None:
    """Notes what is logged of a micro-batch."""
    step.measure(batch.records, **measures(pair, beta))
    step.measure(batch.records, nll_loss=(-pair.chosen / pair.chosen_tokens).detach().sum())
    step.measure(batch.trained, entropy=entropy)


def validate(model, rows, machine, batch_size: int, objective, beta: float, reference=None) -> ValidationResult:
    """Means over the held-out pairs: `val_loss`, and `measures` under names that begin with `val_`.

    objective(pair) -> loss of each pair [P].
    """

    def sums(batch: RecordBatch) -> dict[str, Tensor]:
        pair, _ = compare(model, batch, reference)
        return {"loss": objective(pair).sum(), **measures(pair, beta)}

    found, count = validation_means(model, rows, batch_size, machine, sums)
    preferred = share_of(found["val_rewards/accuracies"], count, "pairs")
    return ValidationResult(
        found,
        f"validation loss {found['val_loss']:.4f}, the chosen answer preferred in {preferred},"
        f" by {found['val_rewards/margins']:.3f}",
    )


def at_the_start(args, settings: Settings) -> float | None:
    """The loss while policy and reference are the same; None if it depends on the data."""
    return preference.at_the_start(args.loss_type, settings)


def warn_of_first_loss(run, metrics: dict, expected: float | None) -> None:
    """Says so if the first loss, less the part of --sft_weight, is not the `expected` one of `at_the_start`."""
    if metrics["loss"] is not None:
        loss = metrics["loss"] - run.args.sft_weight * metrics.get("nll_loss", 0.0)
        if warning := first_loss_warning(run.args.loss_type, loss, expected):
            run.say(f"warning: {warning}")


def first_loss_warning(name: str, loss: float | None, expected: float | None) -> str | None:
    """A warning if the first loss is not that of a policy equal to the reference.

    loss: the loss of the first step; expected: `losses.preference.at_the_start`.
    """
    # The second tolerance is for rounding: with a small beta, ipo begins with tens of thousands.
    if loss is None or expected is None or math.isclose(loss, expected, abs_tol=1e-3, rel_tol=1e-6):
        return None
    return (
        f"the first loss is {loss:.4f}, but {name} begins with {expected:.4f} where policy and reference are the same:"
        " they differ, in weights or in precision"
    )


def needs_reference(name: str) -> bool:
    return name not in WITHOUT_REFERENCE
