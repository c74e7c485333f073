"""How a run describes itself: its plan before it begins, its progress, and `run.json` for tools that read it later."""

import json
import math
import os
import shlex
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from model.disk import write_atomically
from model.errors import counted

NAME = "run.json"
OF_THE_PLAN = "epochs tokens_per_step steps warmup_steps schedule learning_rate default_learning_rate".split()
FEWEST_JUDGED = 20  # losses that a curve needs for a verdict (`training/diagnosis`)
FEWEST_TARGETS, FEWEST_RECORDS = 200, 20  # held out: of fewer, a few words or pairs decide the validation loss
OF_WORDS = ("text", "chat", "distillation")  # kinds of data of which targets count; of others, records, however long
MANY_PASSES = 20  # over the same text: with more it may be learned by heart


def few_held_out(kind: str | None, count: int | None) -> str | None:
    """`count` targets or records in words, if they are too few to judge a run of that kind by; rewards are none."""
    fewest, what = (FEWEST_TARGETS, "tokens") if kind in OF_WORDS else (FEWEST_RECORDS, "records")
    return f"{count} {what}" if count and count < fewest and kind not in (None, "prompt") else None


def longer(plan) -> str:
    """Which flags give a short run of `plan` enough steps to learn, and to be judged."""
    if plan.max_steps and plan.max_steps < plan.epochs * plan.steps_per_epoch:
        return "give a larger --max_steps"
    from training.report.going_on import flags_for_steps  # few runs are short for want of data

    return f"give more text, or {flags_for_steps(plan, FEWEST_JUDGED, MANY_PASSES)}"


@dataclass(frozen=True)
class Description:
    """What is known about a run; None: unknown."""

    stage: str | None = None
    begins_with: str | None = None  # the stage that trained the network so far; "nothing" if it is new
    parameters: int | None = None
    trained_parameters: int | None = None
    vocab_size: int | None = None
    kind: str | None = None  # kind of data: text, chat, preference, reward or distillation
    bytes_per_token: float | None = None  # mean UTF-8 bytes of text per token
    tokens_per_epoch: int | None = None  # targets in an epoch
    different_tokens: int | None = None  # targets in an epoch, each counted once
    held_out: int | None = None  # targets of texts and chats, else records, such as pairs
    epochs: int | None = None
    tokens_per_step: int | None = None  # in its rows, with those that are only read; at most
    steps: int | None = None  # planned
    warmup_steps: int | None = None
    schedule: str | None = None
    optimizer: str | None = None
    learning_rate: float | None = None  # at its peak
    default_learning_rate: float | None = None  # by the rule of `training/engine/plan.py`
    stopped: str | None = None  # why a rule of the stage ended it before its last step


def describe(stage: str, optimizer: str, plan, model, data: dict) -> Description:
    """The description of a run that is about to begin; `data`: fields about its rows."""
    return Description(
        stage=stage,
        begins_with=plan.begins_with or "nothing",
        parameters=sum(p.numel() for p in model.parameters()),
        trained_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        vocab_size=model.config.vocab_size,
        optimizer=optimizer,
        **{name: getattr(plan, name) for name in OF_THE_PLAN},
        **data,
    )


def describe_plan(args, plan, model, machine, output, tokens_per_epoch: int | None) -> list[str]:
    """The plan in words: what is trained, on how much, in how many steps of what size, and why.

    tokens_per_epoch: those with a loss, which the run counts; None: not known.
    """
    config, reasons = model.config, plan.reasons
    total = sum(p.numel() for p in model.parameters())
    active = f" ({config.active_parameters() / 1e6:.3f} M active for a token)" if hasattr(config, "num_experts") else ""
    learn = sum(_numbers_that_learn(p) for p in model.parameters() if p.requires_grad)
    share = "" if learn == total else f", {learn / 1e6:.3f} M trained ({learn / total:.1%})"
    dtype = str(machine.choice.dtype).removeprefix("torch.")
    compiling = machine.why_compiles if machine.compiles else f"no: {machine.why_compiles}"
    whole, last = plan.rows_of_step(plan.steps - 1)
    epochs = whole + last.stop / plan.rows_per_epoch
    read = round(plan.rows_per_epoch * plan.row_length * epochs)
    tokens = round(tokens_per_epoch * epochs) if tokens_per_epoch else read
    of = f" of {amount(read)}" if tokens < 0.95 * read else ""  # of chats, only the answers are learned
    enough = math.ceil((plan.max_steps or 0) / plan.steps_per_epoch)
    few = f" (--max_steps needs --epochs {enough}, not {plan.epochs})" if enough > plan.epochs else ""
    # A dry run says at its end what it has measured.
    time = f", about {duration(machine.run_seconds)}" if machine.run_seconds and not args.dry_run else ""
    compact = f", compact{reasons.get('compact', '')}" if plan.optimizer_memory == "compact" else ""
    grade = plan.activation_checkpointing
    memory = plan.footprint.parts(plan.batch_size, grade)
    parts = ", ".join(f"{name} {size / 2**30:.2f}" for name, size in memory.items() if size)
    recomputed = f" (recomputed: activation checkpointing, {grade})" if grade else ""
    return [
        f"model     {total / 1e6:.3f} M parameters{active}{share}: {config.model_type}, hidden {config.hidden_size},"
        f" {config.num_hidden_layers} layers, {config.num_attention_heads}/{config.num_key_value_heads} heads",
        f"device    {machine.device}, {dtype} ({machine.choice.reason}); compile {compiling}",
        f"data      about {amount(tokens)} tokens to learn{of}, in rows of {plan.row_length}, {epochs:.3g} epochs"
        f"{reasons.get('held_out', '')}",
        f"batch     {plan.tokens_per_step:,} tokens a step = {plan.batch_size} rows x {plan.accumulation_steps}"
        f" micro-batches x {plan.world_size} processes  ({reasons['batch']})",
        f"steps     {plan.steps:,}{few}{time}, warm-up {plan.warmup_steps} ({reasons['warmup']}), then {plan.schedule}",
        f"optimizer {args.optimizer}{compact}, learning rate {plan.learning_rate:g}  ({reasons['learning_rate']})",
        f"memory    about {sum(memory.values()) / 2**30:.2f} GB: {parts}{recomputed}",
        f"writes    {output.weight_file} every {args.save_interval} steps; logs in {output.logs}",
    ]


def _numbers_that_learn(parameter) -> int:
    """All, unless only the last rows of a matrix learn (`training/stages/new_rows.py`)."""
    rows = getattr(parameter, "learning_rows", None)
    return parameter.numel() if rows is None else parameter[-rows:].numel()


def amount(tokens: int) -> str:
    return f"{tokens:,}" if tokens < 1e5 else f"{tokens / 1e6:.2f} M" if tokens < 1e9 else f"{tokens / 1e9:.2f} B"


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def write_description(folder: Path, description: Description, **facts) -> None:
    """Writes `run.json` into a log folder, whole or not at all. facts: what else a reader wants to know of the run."""
    text = json.dumps(asdict(description) | facts, indent=2, ensure_ascii=False) + "\n"
    write_atomically(Path(folder) / NAME, lambda file: file.write(text.encode(errors="backslashreplace")))


def way_to_page(logs: Path) -> str:
    """The line that opens the page of a run. The script is named as the user has named that of the stage."""
    script = Path(sys.argv[0]).with_name("scripts") / "report.py"
    return f"report    {shlex.join(['python', script.as_posix(), logs.as_posix()])}"


class Progress:
    """Only the main process prints. `say` writes a line without breaking the bar."""

    def __init__(self, is_main: bool):
        self.is_main, self._bar = is_main, None
        self.before: list[str] = []  # what was said before the first step
        self._bars = is_main and sys.stderr.isatty()

    def say(self, text: str) -> None:
        if not self.is_main:
            return
        text, fold = counted(text), str
        if self._bar is None:
            self.before.append(text)
            if sys.stdout.isatty():
                from inference.folding import folded_for_terminal as fold
        try:
            tqdm.write(fold(text), file=sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader (`| head`) has gone; training goes on
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def start(self, step: int, steps: int) -> None:
        # In 80 columns it shows all. Without a terminal it only keeps the time, and its text goes out as lines.
        file = sys.stderr if self._bars else open(os.devnull, "w", encoding="utf-8")
        how = {"file": file, "bar_format": "{n_fmt}/{total_fmt} {bar}| {elapsed}<{remaining}{postfix}"}
        self._bar = tqdm(total=steps, initial=step, disable=not self.is_main, dynamic_ncols=True, smoothing=0.05, **how)
        self._bar._time, self._bar.start_t = time.monotonic, time.monotonic()  # the time of day may be set anew
        self._first = step

    def advance(self, metrics: dict, memory: int, show_line: bool) -> None:
        if not self.is_main:
            return
        self._bar.update(1)
        if self._bar.n == self._first + 1:  # it may have compiled: the time left follows from the steps after it
            self._bar.reset()
            self._bar.n = self._bar.last_print_n = self._bar.initial = self._first + 1
        text = describe_step(metrics, memory)
        if self._bars:
            self._bar.set_postfix_str(text)
        elif show_line:
            rate, left = self._bar.format_dict["rate"], self._bar.total - self._bar.n
            remaining = "?" if left and not rate else tqdm.format_interval(left and left / rate)
            self.say(f"step {self._bar.n}/{self._bar.total}  {text}  {remaining} left")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def describe_step(metrics: dict, memory: int) -> str:
    name = "reward" if "reward" in metrics and "skipped" not in metrics else "loss"  # a policy's loss says nothing
    value = "skipped" if metrics[name] is None else f"{metrics[name]:.3f}"
    speed = f"{metrics['time/tokens_per_second']:,.0f} tokens/s"
    speed += f" ({metrics['time/share_of_peak']:.0%} of the card)" if "time/share_of_peak" in metrics else ""
    return f"{name} {value}  lr {metrics['lr']:.2e}  {speed}  {memory / 2**30:.1f} GB"
