"""What a run prints: the plan before it begins, a progress bar in a terminal, or a line now and then in a log."""

import os
import sys

from tqdm import tqdm


class Progress:
    """Only the main process prints. `say` writes a line without breaking the bar."""

    def __init__(self, is_main: bool):
        self.is_main, self._bar = is_main, None
        self._bars = is_main and sys.stderr.isatty()

    def say(self, text: str) -> None:
        if not self.is_main:
            return
        try:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:  # who read along (`| head`) has gone; the training goes on
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def start(self, step: int, steps: int) -> None:
        # Without a terminal the bar only keeps the time; its text goes out as lines.
        self._bar = tqdm(
            total=steps,
            initial=step,
            disable=not self.is_main,
            unit="step",
            dynamic_ncols=True,
            file=sys.stderr if self._bars else _Nowhere(),
            smoothing=0.05,
        )

    def advance(self, metrics: dict, memory: int, show_line: bool) -> None:
        if not self.is_main:
            return
        self._bar.update(1)
        text = describe_step(metrics, memory)
        if self._bars:
            self._bar.set_postfix_str(text)
        elif show_line:
            rate, left = self._bar.format_dict["rate"], self._bar.total - self._bar.n
            remaining = tqdm.format_interval(left / rate) if rate else "?"
            self.say(f"step {self._bar.n}/{self._bar.total}  {text}  {remaining} left")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class _Nowhere:
    def write(self, text):
        pass

    def flush(self):
        pass


def describe_step(metrics: dict, memory: int) -> str:
    loss = "skipped" if metrics["loss"] is None else f"{metrics['loss']:.3f}"
    speed = metrics["time"]["tokens_per_second"]
    return f"loss {loss}  lr {metrics['lr']:.2e}  {speed:,.0f} tokens/s  {memory / 2**30:.1f} GB"


def describe(run, compiling: str) -> list[str]:
    """The plan in words: what is trained, on how much, in how many steps of what size, and why."""
    plan, config, args = run.plan, run.model.config, run.args
    total = sum(p.numel() for p in run.model.parameters())
    trainable = sum(p.numel() for p in run.model.parameters() if p.requires_grad)
    memory = run.footprint(run.model, plan.row_length).parts(plan.batch_size, plan.activation_checkpointing)
    parts = ", ".join(f"{name} {size / 2**30:.2f}" for name, size in memory.items() if size)
    recomputed = " (recomputed: activation checkpointing)" if plan.activation_checkpointing else ""
    tokens = plan.rows_per_epoch * plan.row_length
    share = "" if trainable == total else f", {trainable / 1e6:.3f} M trained ({trainable / total:.1%})"
    dtype = str(run.device_choice.dtype).removeprefix("torch.")
    reasons = plan.reasons
    return [
        f"model     {total / 1e6:.3f} M parameters{share}: {config.model_type}, hidden {config.hidden_size},"
        f" {config.num_hidden_layers} layers, {config.num_attention_heads}/{config.num_key_value_heads} heads",
        f"device    {run.device}, {dtype} ({run.device_choice.reason}); compile {compiling}",
        f"data      {tokens / 1e6:.2f} M tokens in rows of {plan.row_length}, {plan.epochs} epoch(s)",
        f"batch     {plan.tokens_per_step:,} tokens a step = {plan.batch_size} rows x {plan.accumulation_steps}"
        f" micro-batches x {plan.world_size} process(es)  ({reasons['batch']})",
        f"steps     {plan.steps:,}, warm-up {plan.warmup_steps} ({reasons['warmup']}), then {plan.schedule}",
        f"optimizer {args.optimizer}, learning rate {plan.learning_rate:g}  ({reasons['learning_rate']})",
        f"memory    about {sum(memory.values()) / 2**30:.2f} GB: {parts}{recomputed}",
        f"writes    {run.weight_file} every {args.save_interval} steps; logs in {run.folder}",
    ]
