"""From a batch of single answers to what KTO compares, and to the logged measures.

`training/stages/preferences.py` has the same functions for pairs; `train_dpo.py` calls those of one of the two.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from dataset.rows.answers import AnswerBatch
from training.engine.distributed import gathered, sum_over_processes
from training.losses.kto import MOST_BALANCED, Answers, balanced_weights, reference_point
from training.stages.checks import ValidationResult
from training.stages.held_out import over_held_out
from training.stages.reference import answer_log_probabilities


def passes_beside(live: bool) -> int:
    """How many forward passes a step makes beside that of the policy. The policy reads the answers behind other
    prompts, too; a live reference reads both."""
    return 3 if live else 1


def compare_batches(
    model, batches: Iterable[AnswerBatch], machine, reference=None
) -> Iterator[tuple[AnswerBatch, Answers, Tensor]]:
    """Each micro-batch of a step, its answers with the reference point, and the sum of the entropies of their tokens.

    The reference point is a mean over the whole step, so every micro-batch is read before the first one is learned.
    """
    batches = list(batches)
    point = point_of(model, batches, machine, reference)
    for batch in batches:
        with machine.autocast():
            answers, entropy = compare(model, batch, reference)
        yield batch, replace(answers, point=point), entropy


def compare(model, batch: AnswerBatch, reference=None) -> tuple[Answers, Tensor]:
    """The answers under `model`, still without a reference point, and the sum of the entropies of their tokens.

    The reference's log-probabilities come from the batch, or else from the network `reference`.
    """
    if reference is None:
        known = batch.reference.view(2, -1)[0]
    else:
        known = answer_log_probabilities(reference, batch)[0].detach()
    sums, _, entropy = answer_log_probabilities(model, batch)
    return Answers(sums, known, batch.labels > 0.5), entropy


def point_of(model, batches: Iterable[AnswerBatch], machine, reference=None) -> Tensor:
    """The reference point z of a step with these micro-batches, over all processes: see `training.losses.kto`."""
    total = torch.zeros(2, device=machine.device)
    for batch in batches:
        machine.poll()
        total += mixed_ratios(model, batch, machine, reference)
    return reference_point(*sum_over_processes(total))


def mixed_ratios(model, batch: AnswerBatch, machine, reference=None) -> Tensor:
    """The sum of the log-ratios of answers behind other prompts than their own, and their number, float32 [2]."""
    with torch.no_grad(), machine.inference():
        sums, counts, _ = answer_log_probabilities(model, batch.mixed)
        if reference is None:
            known = batch.reference.view(2, -1)[1]
        else:
            known = answer_log_probabilities(reference, batch.mixed)[0]
    return torch.stack([(sums - known).sum(), (counts > 0).sum()]).float()


def note(step, batch: AnswerBatch, answers: Answers, entropy: Tensor, beta: float) -> None:
    """Notes what is logged of a micro-batch. A reward is beta times the log-ratio to the reference."""
    rewards = beta * answers.ratio.detach()
    logps = answers.policy.detach()
    for name, which in (("chosen", answers.good), ("rejected", ~answers.good)):
        sums = {f"rewards/{name}": (rewards * which).sum(), f"logps/{name}": (logps * which).sum()}
        step.measure(which.sum(), **sums)
    step.measure(batch.records, kl=answers.point * batch.records)
    step.measure(batch.trained, entropy=entropy)


def at_the_start(args, settings=None) -> float | None:
    """The loss while policy and reference are the same; None if it depends on the data."""
    return args.desirable_weight / 2 if args.desirable_weight == args.undesirable_weight else None


def record_margin(step) -> None:
    """Records the mean reward of the good answers less that of the bad ones, where the step had both."""
    chosen, rejected = step.metrics.get("rewards/chosen"), step.metrics.get("rewards/rejected")
    if chosen is not None and rejected is not None:
        step.record(**{"rewards/margins": chosen - rejected})


def validate(model, rows, machine, batch_size: int, objective: Callable, beta: float, reference=None):
    """The mean loss of the held-out answers, with the reference point of all of them, and their mean rewards.

    objective(answers) -> loss of each answer [R].
    """

    def score(batch: AnswerBatch) -> list[Tensor]:
        answers, _ = compare(model, batch, reference)
        mixed = mixed_ratios(model, batch, machine, reference)
        return [answers.policy, answers.reference, answers.good, mixed[None]]

    scores = over_held_out(model, rows, batch_size, machine, score)
    of_processes = gathered([torch.cat(each).cpu() for each in zip(*scores)])  # read once, so that a GPU never waits
    policy, known, good, mixed = map(torch.cat, zip(*filter(None, of_processes), strict=True))
    point = reference_point(*mixed.sum(0))
    answers = Answers(policy, known, good, point)
    rewards = beta * answers.ratio
    measures = {"val_loss": objective(answers).mean().item(), "val_kl": point.item()}
    for name, which in (("chosen", good), ("rejected", ~good)):
        if which.any():
            measures[f"val_rewards/{name}"] = rewards[which].mean().item()
    words = f"validation loss {measures['val_loss']:.4f}"
    if good.any() and not good.all():
        measures["val_rewards/margins"] = measures["val_rewards/chosen"] - measures["val_rewards/rejected"]
        words += f", good answers rewarded by {measures['val_rewards/margins']:.3f} more than bad ones"
    return ValidationResult(measures, f"{words}, on {len(good):,} answers")


def choose_weights(args, rows, say) -> None:
    """Sets --desirable_weight and --undesirable_weight where neither is given, and says what they weigh."""
    good = float(rows.passes @ rows.packed.count(good=True))
    bad = float(rows.passes @ rows.packed.count(good=False))
    given = args.desirable_weight, args.undesirable_weight
    proposed = balanced_weights(good, bad)
    if given == (None, None):
        chosen = proposed
        why = "balanced" if proposed == (1, 1) else "so that both kinds weigh alike"
    else:
        chosen = [1.0 if weight is None else weight for weight in given]
        why = "as asked"
    args.desirable_weight, args.undesirable_weight = (float(f"{weight:.4g}") for weight in chosen)
    say(
        f"answers   {good:,.0f} good, {bad:,.0f} bad in an epoch; weights {args.desirable_weight:g} and"
        f" {args.undesirable_weight:g} ({why})"
    )
    if not good or not bad:
        say(f"warning: every answer is {'good' if good else 'bad'}, but KTO learns from both kinds: give it both")
    elif not 0.99 <= args.desirable_weight * good / (args.undesirable_weight * bad) <= 1.01 * MOST_BALANCED:
        say(
            f"warning: with these weights one kind of answers outweighs the other; --desirable_weight {proposed[0]:.4g}"
            f" --undesirable_weight {proposed[1]:.4g} would balance them"
        )
