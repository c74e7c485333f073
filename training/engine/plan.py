"""The plan of a run, made before it begins: batch, learning rate, warm-up, steps.

Every value is printed with its reason, and a flag overrides it. The defaults depend on D, the tokens in all rows of
the run, of chats also those that are read and not learned:

* Tokens per step grow with sqrt(D): in a short run many small steps teach more than a few large ones, and the
  largest efficient batch grows with the data (Zhang et al. 2024, https://arxiv.org/abs/2410.21676). The constant
  is our choice: 4096 tokens at D = 2 M.
* Each optimizer has a base learning rate, tried at D = 2 M. Steps of less than `BASE_TOKENS` are noisier, so their
  rate is lower, by the square root (Malladi et al. 2022, https://arxiv.org/abs/2205.10287). A network that is
  already trained has a much lower base.
* Warm-up is 2 % of the run; then `wsd` holds the rate, and lowers it linearly over the last half.
* On a GPU (`memory_on_cuda.py`) and with --fit (`fitting.py`), the micro-batch is as large as step and memory allow.
"""

import math
from dataclasses import dataclass, field, replace

from model.errors import UsageError
from training.engine.memory import Footprint, footprint_of
from training.report.description import MANY_PASSES, amount, longer

BASE_TOKENS = 4096
TOKENS_PER_SQRT_D = 2.9  # 4096 tokens a step for 2 M tokens, 65,536 for 1 B
MOST_TOKENS_PER_STEP = 524_288
VALIDATION = 12  # a row to train takes the time of three to score: at most one is scored for every twelve trained
MICRO_BATCH_TOKENS = 8192  # on a CPU, where more at once is no faster; a GPU takes all that it has memory for
BASE_LEARNING_RATE = {"muon": 0.02, "adamw": 2e-3}  # for a new network; others: `training/engine/rates.py`


@dataclass(frozen=True)
class Plan:
    """The numbers of a run, and in `reasons` where they come from."""

    epochs: int
    rows_per_epoch: int
    row_length: int
    batch_size: int
    accumulation_steps: int
    world_size: int
    max_steps: int | None
    learning_rate: float
    warmup_steps: int
    schedule: str
    activation_checkpointing: bool | str = False  # or the grade, "layers" or "cheap"
    optimizer_memory: str = "exact"
    default_learning_rate: float | None = None  # by the rule, even if --learning_rate is given
    begins_with: str | None = None  # the stage that trained the network so far
    imported: bool = False  # whether the network or one that it was trained from came from elsewhere
    validations: int = field(default=20, compare=False)  # roughly, in the run, unless --eval_interval says otherwise
    footprint: Footprint | None = field(default=None, compare=False)
    reasons: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def rows_per_step(self) -> int:
        return self.batch_size * self.accumulation_steps * self.world_size

    @property
    def tokens_per_step(self) -> int:
        return self.rows_per_step * self.row_length

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch; the last of them may have fewer rows."""
        return math.ceil(self.rows_per_epoch / self.rows_per_step)

    @property
    def steps(self) -> int:
        steps = self.epochs * self.steps_per_epoch
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def per_step(self, in_epoch: int) -> int:
        """The share of a step in `in_epoch` things that are spread evenly over the rows of an epoch; at least one."""
        return max(1, round(in_epoch * self.rows_per_step / self.rows_per_epoch))

    def rows_of_step(self, step: int) -> tuple[int, range]:
        """The epoch of `step`, and the places of its rows in the order of that epoch."""
        epoch, within = divmod(step, self.steps_per_epoch)
        start = within * self.rows_per_step
        return epoch, range(start, min(start + self.rows_per_step, self.rows_per_epoch))


def plan_for(args, machine, model, rows, origin, *, base_rates: dict | None = None, parameters_beside: int = 0) -> Plan:
    """The plan of a stage that trains `model` on `rows`. Trims rows of --val_ratio; for --fit, sets optimizer_memory.

    origin: where the network comes from, as in `training.stages.starting_point`.
    base_rates: base learning rates of the stage by optimizer, under "ours" and "imported".
    parameters_beside: number of parameters of further networks that are not trained, such as a teacher.
    """
    footprint = footprint_of(model, rows, args.optimizer, machine.choice, parameters_beside)
    if args.fit or args.optimizer_memory == "compact":
        from training.engine.memory_of_compact import possibly_compact  # other runs do not load it

        footprint = possibly_compact(footprint, model, args, machine.choice)
    if machine.choice.device.type == "cuda":
        from training.engine.memory_on_cuda import footprint_on_cuda  # no other device needs it

        footprint = footprint_on_cuda(footprint, rows, args, machine, rows_of_a_step)
    footprint = machine.shards.footprint(footprint) if machine.shards else footprint
    plan = make_plan(
        args,
        rows_per_epoch=rows.rows_per_epoch,
        row_length=rows.row_length,
        world_size=machine.world_size,
        begins_with=origin.stage,
        imported=origin.imported,
        base_rates=base_rates and base_rates["imported" if origin.imported else "ours"],
        footprint=footprint,
    )
    args.optimizer_memory = plan.optimizer_memory  # --fit may have chosen it
    if plan.steps <= 2:
        machine.say(f"warning: a run of {plan.steps} steps teaches next to nothing: {longer(plan)}")
    if plan.steps / plan.steps_per_epoch * rows.passes.max() > MANY_PASSES:
        from training.engine.repetition import warnings_about_passes  # few runs need it

        for warning in warnings_about_passes(plan, rows):
            machine.say(f"warning: {warning}")
    if not rows.held_out or args.eval_interval is not None:
        return plan
    most = max(1, plan.steps * plan.rows_per_step // VALIDATION)  # rows that are scored in the whole run
    if len(rows.held_out) > most and not args.val_path:  # the user's choice is scored whole, if only at the end
        rows.held_out.keep(most)
        plan.reasons["held_out"] = f"; validation scores {most:,} of {rows.held_out.held:,} held-out rows"
    return replace(plan, validations=max(1, min(20, most // len(rows.held_out))))


def make_plan(
    args,
    *,
    rows_per_epoch: int,
    row_length: int,
    world_size: int,
    begins_with: str | None = None,
    imported: bool = False,
    base_rates: dict | None = None,
    footprint: Footprint | None = None,
) -> Plan:
    """A plan from the flags, and from the rules above where a flag is missing.

    `rows_per_epoch` rows of `row_length` tokens make one epoch, shared out among `world_size` processes.
    `begins_with`: the stage that trained the network so far, as in `starting_point.Origin`; None: it is new. The rates
    for a new network would destroy what a trained one has learned, and even more so an `imported` one.
    `base_rates`: base learning rates of the stage, by optimizer. `footprint`: the memory of the run, for --fit.
    Raises `UsageError` when there is nothing to train, or the run does not fit into memory.
    """
    if rows_per_epoch < 1:
        raise UsageError("the training data holds no row: give a file with more text, or a smaller --val_ratio")
    reasons, imported = {}, imported or begins_with == "imported"
    rows, reasons["batch"] = rows_of_a_step(args, args.epochs * rows_per_epoch * row_length, row_length, world_size)
    batch_size, accumulation = micro_batches(args, rows, row_length, world_size, footprint)
    checkpointing = args.activation_checkpointing
    if args.fit:
        from training.engine.fitting import fitted  # other runs do not load it

        batch_size, accumulation, checkpointing, footprint = fitted(footprint, args, batch_size, accumulation, reasons)

    step_tokens = batch_size * accumulation * world_size * row_length
    steps = min(args.max_steps or math.inf, args.epochs * math.ceil(rows_per_epoch * row_length / step_tokens))
    adapters, rate = getattr(args, "lora", False), args.learning_rate
    default_rate, why = rate_by_rule(args.optimizer, step_tokens, begins_with, imported, base_rates, adapters)
    if rate is not None:
        why = "as --train_only or --learning_rate asks" if getattr(args, "train_only", None) else "as asked"
    elif (rate := default_rate) is None:
        raise UsageError(f"there is no default rate for --optimizer {args.optimizer}: give --learning_rate")
    reasons["learning_rate"] = why
    warmup, reasons["warmup"] = warm_up(args, steps)
    return Plan(
        epochs=args.epochs,
        rows_per_epoch=rows_per_epoch,
        row_length=row_length,
        batch_size=batch_size,
        accumulation_steps=accumulation,
        world_size=world_size,
        max_steps=args.max_steps,
        learning_rate=rate,
        warmup_steps=warmup,
        schedule=args.schedule,
        activation_checkpointing=checkpointing,
        optimizer_memory="compact" if footprint and footprint.compact else "exact",
        default_learning_rate=default_rate,
        begins_with=begins_with,
        imported=imported,
        footprint=footprint,
        reasons=reasons,
    )


def tokens_per_step_rule(total_tokens: int) -> int:
    """Tokens in a step for a run over `total_tokens`: a power of two near 2.9 sqrt(D), within limits."""
    ideal = TOKENS_PER_SQRT_D * math.sqrt(total_tokens)
    return min(MOST_TOKENS_PER_STEP, max(BASE_TOKENS, 2 ** round(math.log2(ideal))))


def rows_of_a_step(args, available: int, row_length: int, world_size: int) -> tuple[int, str]:
    """How many rows a step of all processes has, and why. available: tokens in all rows of all epochs."""
    if args.batch_size and args.accumulation_steps:
        return args.batch_size * args.accumulation_steps * world_size, "as asked"
    # D depends on the batch and the batch on D: B = c sqrt(steps B) gives B = c^2 steps.
    total = min(available, int(TOKENS_PER_SQRT_D**2 * args.max_steps) * args.max_steps) if args.max_steps else available
    tokens = tokens_per_step_rule(max(1, total))
    total = min(available, tokens * (args.max_steps or available))  # what --max_steps leaves of them
    counted = "steps" if total < available else "rows"
    reason = f"near {TOKENS_PER_SQRT_D} times the square root of the {amount(total)} tokens in all {counted}"
    if limit := {BASE_TOKENS: "at least", MOST_TOKENS_PER_STEP: "at most"}.get(tokens):
        about = " about" if tokens % row_length else ""  # a step has whole rows
        reason = f"{limit}{about} {tokens:,}, and {reason}"
    if args.batch_size or args.accumulation_steps:
        reason = f"{'--batch_size' if args.batch_size else '--accumulation_steps'} as asked; {reason}"
    return max(1, round(tokens / row_length)), reason


def micro_batches(args, rows: int, row_length: int, world_size: int, footprint: Footprint | None) -> tuple[int, int]:
    """Rows in a micro-batch, and micro-batches of each process, for steps of about `rows` rows of all processes."""
    own = max(1, rows // world_size)
    if args.batch_size:
        size = args.batch_size
    elif args.accumulation_steps:
        size = max(1, own // args.accumulation_steps)
    elif footprint and footprint.on_cuda:
        size = footprint.micro_batch(own, args)
    else:
        size = min(own, max(1, MICRO_BATCH_TOKENS // row_length))
    return size, args.accumulation_steps or max(1, round(rows / (size * world_size)))


def warm_up(args, steps: int) -> tuple[int, str]:
    """The steps of warm-up in a run of so many steps, and why."""
    if args.warmup_steps is not None:
        return min(args.warmup_steps, steps), "as asked"
    # At least ten steps, because the first steps change small embeddings by more than their size.
    return min(500, max(10, round(0.02 * steps)), max(1, steps // 2)), "2 % of the run, 10 to 500 steps, at most half"


def rate_by_rule(
    optimizer: str, step_tokens: int, begins_with: str | None, imported: bool, base_rates: dict | None, adapters: bool
) -> tuple[float | None, str]:
    """The learning rate by the rule, None for an optimizer that the rates do not name; and the rule in words."""
    if base_rates or (begins_with is None and not adapters):
        rates, why = base_rates or BASE_LEARNING_RATE, ""
    else:
        from training.engine.rates import rates_of  # a new network does not load it

        rates, why = rates_of(imported, adapters)
    if (base := rates.get(optimizer)) is None:
        return None, ""
    factor, reason = 1.0, f"{optimizer}: {base:g}{why}"
    if step_tokens < BASE_TOKENS:
        factor, reason = math.sqrt(step_tokens / BASE_TOKENS), f"{reason} x sqrt({step_tokens} / {BASE_TOKENS} tokens)"
    return float(f"{base * factor:.2g}"), reason
