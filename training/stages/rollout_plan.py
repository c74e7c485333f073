"""The plan of a stage whose steps answer prompts: how many prompts a step takes, and how often it is validated."""

import copy
import math
from dataclasses import dataclass, replace

import numpy as np

from dataset.rows.rows import Kind, ValidationRows
from model.errors import UsageError
from training.engine.plan import MICRO_BATCH_TOKENS, VALIDATION, Plan, plan_for
from training.stages.reference import parameters_copied

MOST_HELD_OUT = 256  # prompts that are answered in a validation
PROMPTS_PER_STEP = 32  # unless --prompts_per_step, or both --batch_size and --accumulation_steps say otherwise


@dataclass(frozen=True)
class _Groups:
    """Prompts as rows of a plan (`dataset.rows.rows.Rows`): as many tokens as a group of answers may have."""

    rows_per_epoch: int
    row_length: int
    kind: Kind
    passes: np.ndarray
    caches: list
    held_out: None = None  # `_with_validation` decides which of these prompts are answered


def plan_of_rollouts(
    args,
    machine,
    model,
    rows,
    origin,
    *,
    base_rates: dict,
    group_size: int = 1,
    has_reference: bool = True,
    parameters_beside: int = 0,
) -> Plan:
    """The plan of a stage whose step takes --prompts_per_step prompts. Its rows are groups: as many tokens as
    `group_size` answers may have, so that the micro-batch, counted in groups, fits into memory.

    has_reference: whether a frozen copy of what is trained is kept. parameters_beside: those for a critic, if there is
    one. The others: as for `plan_for`.
    """
    given = copy.copy(args)
    given.batch_size, given.accumulation_steps = micro_batches(args, group_size, rows, machine.world_size)
    given.fit = None  # --fit would choose these two
    has_critic = parameters_beside > 0
    if has_reference:
        parameters_beside += parameters_copied(model)
    groups = _Groups(rows.rows_per_epoch, group_size * rows.row_length, rows.kind, rows.passes, rows.caches)
    how = {"base_rates": base_rates, "parameters_beside": parameters_beside}
    plan = plan_for(given, machine, model, groups, origin, **how)
    # Attention sees the row of an answer, or of several that share a prompt, and not the whole group.
    footprint = replace(plan.footprint, row_length=rows.row_length, rows=group_size)
    if has_critic:  # it learns in all layers, whatever is frozen in the policy
        footprint = replace(footprint, layers=0, unread=0)
    if args.ptx_weight:  # the loss of a further row joins that of the micro-batch, before either has its gradient
        footprint = replace(footprint, beside=args.max_seq_len)
    plan = replace(plan, footprint=footprint)
    if args.fit:
        plan = _fitted(plan, model, args, machine)
    reason = f"{plan.rows_per_step} prompts, a row for the {group_size} answers to each"
    plan = replace(plan, reasons=plan.reasons | {"batch": reason})
    return _with_validation(plan, rows.held_out, args, group_size) if rows.held_out else plan


def _fitted(plan: Plan, model, args, machine) -> Plan:
    """The plan with the same prompts in a step, in micro-batches as --fit allows; sets `args.optimizer_memory`."""
    from training.engine.fitting import fitted  # other runs do not load these
    from training.engine.memory_of_compact import possibly_compact

    footprint = possibly_compact(plan.footprint, model, args, machine.choice)
    size, times, checkpointing, footprint = fitted(
        footprint, args, plan.batch_size, plan.accumulation_steps, plan.reasons
    )
    args.optimizer_memory = "compact" if footprint.compact else "exact"
    return replace(
        plan,
        batch_size=size,
        accumulation_steps=times,
        activation_checkpointing=checkpointing,
        optimizer_memory=args.optimizer_memory,
        footprint=footprint,
    )


def _with_validation(plan: Plan, held_out: ValidationRows, args, group_size: int) -> Plan:
    """The plan with its validations. Of the held-out prompts, leaves those that are answered: at most `MOST_HELD_OUT`,
    and unless --eval_interval says how often, one answer in the whole run for every twelve that are learned from."""
    sampled = plan.steps * plan.rows_per_step * group_size // plan.world_size  # each process answers all that are left
    most = max(1, sampled // VALIDATION) if args.eval_interval is None else MOST_HELD_OUT
    answered = min(len(held_out), MOST_HELD_OUT, most)
    reasons = plan.reasons
    if answered < len(held_out):
        held_out.keep(answered)
        reasons = reasons | {"held_out": f"; validation answers {answered:,} of {held_out.held:,} held-out prompts"}
    return replace(plan, validations=min(20, most // answered), reasons=reasons)


def micro_batches(args, group_size: int, rows, world: int) -> tuple[int, int]:
    """How many prompts of a step are in a micro-batch, and how many micro-batches it has in each of `world` processes.

    Raises `UsageError` where --prompts_per_step cannot be so many, or has too few answers for --mini_batches.
    """
    asked, size, times = args.prompts_per_step or PROMPTS_PER_STEP, args.batch_size, args.accumulation_steps
    own = max(1, asked // world)
    if not size and times:
        size = max(1, own // times)
    elif not size:
        most = min(own, max(1, MICRO_BATCH_TOKENS // (group_size * rows.row_length)))
        size = next(size for size in range(most, 0, -1) if own % size == 0)
    times = times or max(1, round(own / size))
    found = size * times * world
    if args.prompts_per_step not in (None, found):
        given = {"--batch_size": args.batch_size, "--accumulation_steps": args.accumulation_steps}
        flags = [f"{name} {value}" for name, value in given.items() if value]
        flags += [f"{world} processes"] if world > 1 else []
        advice = f"give --prompts_per_step {found}"
        if own * world == asked:
            fitting = math.gcd(own, size)
            advice += f", or --batch_size {fitting} --accumulation_steps {own // fitting}"
        raise UsageError(f"--prompts_per_step {asked} cannot be had with {' and '.join(flags)}: {advice}")
    if args.mini_batches > size * times * group_size:
        answers = f"{size * times * group_size} answers" + (" of each process" if world > 1 else "")
        raise UsageError(
            f"a step of {answers} has too few for {args.mini_batches} mini-batches: give --prompts_per_step"
            f" {world * math.ceil(args.mini_batches / group_size)} or more, or a smaller --mini_batches"
        )
    return size, times


def room_of_tools(toolbox, renderer) -> int:
    """About how many tokens the schemas of the tools add to a prompt."""
    if toolbox is None:
        return 0
    asked = [{"role": "user", "content": "?"}]
    return len(renderer.prompt(asked, toolbox.schemas)) - len(renderer.prompt(asked))
