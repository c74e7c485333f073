"""What a run will do, decided before it begins: batch, learning rate, warm-up, steps.

The defaults follow the work. With D = trained tokens of the whole run:

* Tokens per step grow with sqrt(D): early in a short run many small steps teach more than a few large ones,
  and the batch that can be used efficiently grows with the data (Zhang et al. 2024,
  https://arxiv.org/abs/2410.21676). The constant is a choice: 4096 tokens at 2 M.
* The learning rate of an optimizer is a base, tried at 2 M tokens. Steps of less than `BASE_TOKENS` are noisier
  and take less of it, by the square root (Malladi et al. 2022, https://arxiv.org/abs/2205.10287); a network that is
  trained already takes a tenth or less.
* Warm-up is 2 % of the run; then `wsd` holds the rate and spends the last half of the run on a
  straight line down.
* With --fit, a micro-batch is what the memory has room for (`training/engine/memory.py`).

Every value has its reason printed beside it, and any flag overrides it.
"""

import math
from dataclasses import dataclass, field

from model.errors import UsageError
from training.engine.memory import Footprint, fit

BASE_TOKENS = 4096
TOKENS_PER_SQRT_D = 2.9  # 4096 tokens a step for 2 M tokens, 65,536 for 1 B
MOST_TOKENS_PER_STEP = 524_288
BASE_LEARNING_RATE = {"muon": 0.02, "adamw": 2e-3}  # of a new network
# Of one that Sprout trained; and of an imported one, which has usually seen a thousand times more text and has more to
# lose.
TRAINED_RATE = {"muon": 2e-3, "adamw": 5e-4}
IMPORTED_RATE = {"muon": 2e-4, "adamw": 2e-5}
# Of adapters: measured on a network of 4 M parameters that Sprout trained (docs/lora.md); customary on imported ones.
ADAPTER_RATE = {"ours": {"adamw": 1.5e-3}, "imported": {"adamw": 2e-4}}


@dataclass(frozen=True)
class Plan:
    """The numbers of a run; `reasons` says of each where it comes from."""

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
    activation_checkpointing: bool = False
    default_learning_rate: float | None = None  # by the rule, whatever was asked for
    begins_with: str | None = None  # the stage that trained the network so far
    imported: bool = False  # it, or what it was trained from, came from elsewhere
    reasons: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def rows_per_step(self) -> int:
        return self.batch_size * self.accumulation_steps * self.world_size

    @property
    def tokens_per_step(self) -> int:
        return self.rows_per_step * self.row_length

    @property
    def steps_per_epoch(self) -> int:
        """The last step of an epoch may have fewer rows."""
        return math.ceil(self.rows_per_epoch / self.rows_per_step)

    @property
    def steps(self) -> int:
        steps = self.epochs * self.steps_per_epoch
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def per_step(self, in_epoch: int) -> int:
        """How many of `in_epoch` things, spread evenly over the rows of an epoch, are in a step; at least one."""
        return max(1, round(in_epoch * self.rows_per_step / self.rows_per_epoch))

    def rows_of_step(self, step: int) -> tuple[int, range]:
        """The epoch of `step` and the places of its rows in that epoch's order."""
        epoch, within = divmod(step, self.steps_per_epoch)
        start = within * self.rows_per_step
        return epoch, range(start, min(start + self.rows_per_step, self.rows_per_epoch))


def plan_for(run, model, rows, origin, *, base_rates: dict | None = None, footprint: Footprint | None = None) -> Plan:
    """The plan of a stage that trains `model` on `rows`.

    origin: where the network comes from, as in `training.stages.starting_point`.
    base_rates: the stage's own, by optimizer, under "ours" and "imported".
    footprint: what it takes of memory, if that is more than the network.
    """
    return make_plan(
        run.args,
        rows_per_epoch=rows.rows_per_epoch,
        row_length=rows.row_length,
        world_size=run.world_size,
        begins_with=origin.stage,
        imported=origin.imported,
        base_rates=base_rates and base_rates["imported" if origin.imported else "ours"],
        footprint=footprint or run.footprint(model, rows.row_length),
    )


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
    `begins_with`: the stage that trained the network so far, as in `starting_point.Origin`; None: it is new. What is
    trained already would be spoilt by the rates of a new network; even more so what is `imported`, which stays so in
    all stages that follow.
    `base_rates`: a stage's own, by optimizer.
    `footprint`: what the run takes of memory, for --fit.
    Raises `UsageError` when there is nothing to train, or it does not fit.
    """
    if rows_per_epoch < 1:
        raise UsageError("the training data holds no row: give a file with more text, or a smaller --val_ratio")
    reasons, imported = {}, imported or begins_with == "imported"
    available = args.epochs * rows_per_epoch * row_length
    rows, reasons["batch"] = _rows_per_step(args, available, row_length, world_size)

    if args.batch_size:
        batch_size = args.batch_size
    elif args.accumulation_steps:
        batch_size = max(1, rows // (args.accumulation_steps * world_size))
    else:
        batch_size = min(max(1, rows // world_size), max(1, MICRO_BATCH_TOKENS // row_length))
    accumulation = args.accumulation_steps or max(1, round(rows / (batch_size * world_size)))
    checkpointing = args.activation_checkpointing
    if args.fit:
        if args.batch_size or args.accumulation_steps:
            raise UsageError("--fit chooses --batch_size and --accumulation_steps: give it, or these")
        share = batch_size * accumulation  # of the step, which stays as it is
        choices = [size for size in range(batch_size, 0, -1) if share % size == 0]
        batch_size, checkpointing = fit(footprint, args.fit, choices, checkpointing)
        accumulation = share // batch_size
        reasons["batch"] += f"; micro-batch as --fit {args.fit:g} allows"

    step_tokens = batch_size * accumulation * world_size * row_length
    steps = args.epochs * math.ceil(rows_per_epoch * row_length / step_tokens)
    steps = min(steps, args.max_steps or steps)
    default_rate, reasons["learning_rate"] = _learning_rate(
        args.optimizer, step_tokens, begins_with, imported, base_rates, adapters=getattr(args, "lora", False)
    )
    rate = default_rate
    if args.learning_rate is not None:
        rate, reasons["learning_rate"] = args.learning_rate, "as asked"
    if args.warmup_steps is not None:
        warmup, reasons["warmup"] = args.warmup_steps, "as asked"
    else:
        # At least ten steps: the first ones move small embeddings by more than their size.
        warmup = min(500, max(10, round(0.02 * steps)), max(1, steps // 2))
        reasons["warmup"] = "2 % of the run, 10 to 500 steps, at most half"
    return Plan(
        epochs=args.epochs,
        rows_per_epoch=rows_per_epoch,
        row_length=row_length,
        batch_size=batch_size,
        accumulation_steps=accumulation,
        world_size=world_size,
        max_steps=args.max_steps,
        learning_rate=rate,
        warmup_steps=min(warmup, steps),
        schedule=args.schedule,
        activation_checkpointing=checkpointing,
        default_learning_rate=default_rate,
        begins_with=begins_with,
        imported=imported,
        reasons=reasons,
    )


# A micro-batch larger than this gains no speed on a CPU, and little on a GPU with a model of this size.
MICRO_BATCH_TOKENS = 8192


def tokens_per_step_rule(total_tokens: int) -> int:
    """Tokens in a step for a run over `total_tokens`: a power of two near 2.9 sqrt(D), within limits."""
    ideal = TOKENS_PER_SQRT_D * math.sqrt(total_tokens)
    return min(MOST_TOKENS_PER_STEP, max(BASE_TOKENS, 2 ** round(math.log2(ideal))))


def _rows_per_step(args, available: int, row_length: int, world_size: int) -> tuple[int, str]:
    if args.batch_size and args.accumulation_steps:
        return args.batch_size * args.accumulation_steps * world_size, "as asked"
    total = available
    if args.max_steps:
        # D depends on the batch and the batch on D: B = c sqrt(steps B) gives B = c^2 steps.
        total = min(total, int(TOKENS_PER_SQRT_D**2 * args.max_steps) * args.max_steps)
    tokens = tokens_per_step_rule(max(1, total))
    reason = f"about 2.9 sqrt({total / 1e6:.1f} M tokens)"
    if tokens in (BASE_TOKENS, MOST_TOKENS_PER_STEP):
        reason = f"{'at least' if tokens == BASE_TOKENS else 'at most'} {tokens:,}, and {reason}"
    if args.batch_size or args.accumulation_steps:
        asked = "--batch_size" if args.batch_size else "--accumulation_steps"
        reason = f"{asked} as asked; {reason}"
    return max(1, round(tokens / row_length)), reason


def _learning_rate(
    optimizer: str, step_tokens: int, begins_with: str | None, imported: bool, base_rates: dict | None, adapters: bool
) -> tuple[float, str]:
    """The rate by the rule, and the rule in words."""
    if base_rates:
        rates, why = base_rates, ""
    elif adapters:
        rates = ADAPTER_RATE["imported" if imported else "ours"]
        why = ", as adapters learn" + (" on an imported network" if imported else "")
    elif begins_with is None:
        rates, why = BASE_LEARNING_RATE, ""
    elif imported:
        rates, why = IMPORTED_RATE, ", as the network is imported"
    else:
        rates, why = TRAINED_RATE, ", as the network is trained already"
    base = rates[optimizer]
    factor, reason = 1.0, f"{optimizer}: {base:g}{why}"
    if step_tokens < BASE_TOKENS:
        factor, reason = math.sqrt(step_tokens / BASE_TOKENS), f"{reason} x sqrt({step_tokens} / {BASE_TOKENS} tokens)"
    return float(f"{base * factor:.2g}"), reason
