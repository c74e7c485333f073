"""The run: everything about training that is the same in every stage, behind a small surface.

A stage script writes its loop out, with its data, loss and parameters in sight, and leaves the mechanism to this:

    with Run(args, stage="pretrain") as run:
        ...                                              # model, data, plan
        run.begin(model, tokenizer, plan, optimizers, data=..., facts=...)      # prints the plan; resumes
        for step in run.steps():                         # goes on where it stopped; saves; ends on a signal
            for batch in step.micro_batches(rows):
                with run.autocast():
                    loss_sum = ...
                step.backward(loss_sum, batch.trained)
            step.update()                                # finite? clip, learning rate, optimizer
            if step.evaluates:
                step.report(...)

What makes resuming exact: learning rate, data order and random numbers are functions of the step alone, so
the state of a run is its weights, its optimizers, and a handful of counters.
"""

import contextlib
import random
from pathlib import Path

import numpy
import torch

from model.device import choose_device, reuse_freed_memory
from model.errors import SproutError, UsageError
from model.files.adapters import save_lora
from model.files.checkpoint import is_whole, save_checkpoint, save_weights
from model.files.disk import sweep_temporaries
from model.lora import lora_of
from training.diagnosis.diagnosis import closing_words
from training.engine import distributed, resume
from training.engine.interrupts import Interrupts
from training.engine.memory import PROGRAM_ON_CPU, Footprint, recompute_activations
from training.engine.plan import Plan
from training.engine.schedules import learning_rate_factor
from training.engine.step import Step
from training.engine.update import Updater
from training.report.facts import facts_of_run, write_facts
from training.report.metrics import Metrics
from training.report.progress import Progress, describe
from training.stages import adapters


class Run:
    """One training run of one stage. A context: leaving it releases the output, the signals and the processes."""

    def __init__(self, args, stage: str):
        if args.allow_changed and not args.resume:  # the earlier run would be put aside, and its work done again
            raise UsageError("--allow_changed lets --resume go on with other flags: give both")
        self.args, self.stage = args, stage
        self.device_choice = choose_device(args.device, args.dtype)
        self.device = self.device_choice.device
        if self.device.type == "cpu":
            reuse_freed_memory()
        self.autocast = self.device_choice.autocast
        self.is_main, self.world_size = distributed.is_main(), distributed.world_size()
        self.interrupts = Interrupts(several_processes=self.world_size > 1)
        self.progress = Progress(self.is_main)
        self.say = self.progress.say
        self.compiles, self._why_compiles = False, ""
        self._ready = None  # the network that `make_ready` was called with
        self.interrupted = False  # whether all processes know that one of them was asked to stop
        self.memory: dict = {}  # what a stage keeps from step to step (rollouts, say), in plain values and tensors
        self._lock = None
        self.metrics: Metrics | None = None

    def __enter__(self):
        self.interrupts.__enter__()
        distributed.start(self.device)
        seed_everything(self.args.seed, step=0)
        return self

    def __exit__(self, *error):
        self.progress.close()
        if self.metrics:
            self.metrics.close()
        if self._lock:
            self._lock.release()
        distributed.stop()
        self.interrupts.__exit__()

    def footprint(self, model, row_length: int) -> Footprint:
        """What decides how much memory training `model` takes here."""
        half, on_cpu = self.device_choice.dtype.itemsize == 2, self.device.type == "cpu"
        return Footprint(
            model.config,
            row_length,
            self.args.optimizer,
            trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
            compute_bytes=2 if half else 4,
            keeps_attention=on_cpu and half,
            program=PROGRAM_ON_CPU if on_cpu else 0,
        )

    def begin(
        self,
        model,
        tokenizer,
        plan: Plan,
        optimizers: list[torch.optim.Optimizer],
        *,
        data: dict,
        facts: dict | None = None,
        modules: dict | None = None,
        nominal_count: int | None = None,
        save_weight=None,
    ) -> None:
        """Prints the plan, claims the output and, with --resume, restores the run.

        optimizers: over the parameters that learn, each group with its `peak_lr`.
        data: what identifies the training data; a resumed run refuses to go on with anything else.
        facts: what run.json says of the data, as in `training.report.facts.Facts`.
        modules: further networks that learn (a critic, say); resuming restores them too.
        nominal_count: about what the counts of a step's `backward` add up to, if they are not tokens.
        save_weight: writes the result, called with (path, facts); if not given, the whole network, or of one with
            adapters these alone, into <out_dir>/lora.
        Raises `UsageError` when there is nothing to resume or something differs.
        """
        args = self.args
        self.model, self.tokenizer, self.plan = model, tokenizer, plan
        self.modules = {"model": model, **(modules or {})}
        for module in self.modules.values():
            module.train()
        self.lora = lora_of(model)
        self.name = f"{args.weight_name}_{model.config.hidden_size}"
        out_dir = Path(args.out_dir) / adapters.FOLDER if self.lora else Path(args.out_dir)
        self.weight_file = out_dir / f"{self.name}.pth"
        self.resume_file = out_dir / f"{self.name}_resume.pth"
        self.folder = out_dir / "logs" / self.name
        self._save_weight = save_weight or (self._save_adapters if self.lora else self._save_whole_network)

        fp16 = self.device_choice.dtype == torch.float16
        self.updater = Updater(optimizers, nominal_count or plan.tokens_per_step, args.grad_clip, fp16)
        self.step, self.tokens, self.best = 0, 0, {}
        self.pending: dict | None = None  # metrics of a step that was interrupted between its update and its end
        self.eval_interval = _interval(args.eval_interval, plan.steps, 20)
        self.sample_interval = _interval(args.sample_interval, plan.steps, 5)
        if self._ready is not model:
            self.make_ready(model, plan)
        self.identity = resume.identity(self, data)
        self.facts = facts_of_run(self, facts or {})

        for line in describe(self, self._why_compiles if self.compiles else f"no: {self._why_compiles}"):
            self.say(line)
        if not args.dry_run:
            self._claim_output()

    def make_ready(self, model, plan: Plan) -> None:
        """Has `model` compiled, and its activations computed again, as the plan of its training says.

        `begin` does so. A stage does it before where the network, not yet trained, gives numbers to compare with, which
        are to come from the same kernels.
        """
        work = 6 * model.config.num_parameters() * plan.steps * plan.tokens_per_step
        speed = {"cuda": 5e13, "mps": 1e12, "cpu": 2e11}[self.device.type]  # operations a second, roughly
        self.compiles, self._why_compiles = self.device_choice.compiles(self.args.compile, work / speed)
        if plan.activation_checkpointing:
            recompute_activations(model)
        self.compile(model)
        self._ready = model

    def compile(self, model) -> None:
        """Has the layers of a network compiled if the run compiles: of one at a time, as all share one function."""
        if self.compiles:
            for layer in model.model.layers:
                layer.compile()

    def _claim_output(self):
        """Locks the output against a second run; resumes it, or moves what an earlier run left out of the way."""
        distributed.barrier()  # nothing is moved while another process still reads its starting point
        distributed.together(self._lock_output)
        if self.args.resume:
            state, changes = resume.read(self.resume_file, self.identity, self.args.allow_changed)
            for change in changes:
                self.say(f"changed: {change}")
            resume.restore(self, state)
            self.say(f"resumed {self.resume_file} at step {self.step} of {self.plan.steps}")
        distributed.together(self._open_logs)

    def _lock_output(self):
        self._lock = resume.OutputLock(self.weight_file)
        for folder in (self.weight_file.parent, self.folder):  # of runs that were killed while they saved
            sweep_temporaries(folder)
        resume.check_space(self)

    def _open_logs(self):
        if not self.args.resume:
            kept = resume.keep_aside(self.weight_file, self.resume_file, self.folder)
            if kept:
                self.say(f"an earlier result was moved to {kept}")
        self.metrics = Metrics(self.folder, self.step)
        if self.metrics.missing:
            self.say(f"warning: {self.metrics.path} lacks {self.metrics.missing} of the {self.step} steps before this")
        write_facts(self.folder, self.facts)
        if self.args.resume and not is_whole(self.weight_file):
            self.say(f"warning: {self.weight_file} is missing or damaged; it is written again from {self.resume_file}")
            self.weight_file.unlink(missing_ok=True)  # it shall not become the generation before
            self._save_weight(self.weight_file, self._weight_facts())

    def steps(self):
        """The steps that are left. Between them: metrics, checkpoints, curve, and the end on a signal."""
        self.interrupts.patient()
        self.progress.start(self.step, self.plan.steps)
        last = self.plan.steps
        if self.args.dry_run:
            last = min(last, self.step + (2 if self.compiles else 1))  # the first step of a compiled network compiles
        while self.step < last:
            seed_everything(self.args.seed, self.step + 1)
            step = Step(self, self.step)
            yield step
            self._end_of(step)
        self.progress.close()
        if self.args.dry_run:
            self._report_dry_run(step)
        elif self.is_main:
            self.metrics.draw()
            for line in closing_words(self.metrics.path, self.facts):
                self.say(line)
            self.say(f"done: {self.weight_file} after {self.step} steps, {self.tokens / 1e6:.2f} M tokens")

    @contextlib.contextmanager
    def inference(self):
        """Context for validation and samples: autocast, and the layers as they are, not compiled, since compiled ones
        would be compiled again for every other shape."""
        eager = torch.compiler.set_stance("force_eager") if self.compiles else contextlib.nullcontext()
        with self.autocast(), eager:
            yield

    def learning_rate_factor(self, step: int) -> float:
        return learning_rate_factor(step, self.plan.steps, self.plan.warmup_steps, self.plan.schedule)

    def _end_of(self, step: Step) -> None:
        if not step.updated:
            raise RuntimeError("a stage script must call step.update() once in every step")
        self.step += 1
        self.pending = None
        finished = self.step == self.plan.steps
        self.progress.advance(step.metrics, self.device_choice.peak_memory(), finished or self._due("log_interval"))
        if self.args.dry_run:
            return
        if "val_loss" in step.metrics and step.metrics["val_loss"] < self.best.get("val_loss", float("inf")):
            self.best = {"val_loss": step.metrics["val_loss"], "step": self.step}
        if self.is_main:
            self.metrics.write(step.metrics)
        saves = finished or self._due("save_interval")
        if saves:
            self.save()
            if self.is_main:
                self.metrics.draw(sparingly=True)
                if self.args.histograms:
                    self.metrics.histograms(self.model, self.step)
        if not finished and (self.interrupted or self._alone_and_signalled()):
            self.stop(saved=saves)

    def _due(self, interval: str) -> bool:
        return self.step % getattr(self.args, interval) == 0

    def save(self) -> None:
        """Writes the weights and the state of the run, each whole or not at all."""
        if not self.is_main or self.args.dry_run:
            return
        spoilt = resume.first_not_finite(self.modules)
        if spoilt:
            raise SproutError(
                f"{spoilt} is not finite after step {self.step}, so nothing was saved: {self._way_back()}"
            )
        self.metrics.sync()
        self._save_weight(self.weight_file, self._weight_facts())
        save_checkpoint(self.resume_file, resume.state_of(self))

    def _weight_facts(self) -> dict:
        return {
            "step": self.step,
            "tokens": self.tokens,
            "best": self.best,
            "imported": self.plan.imported,
            "arguments": {key: value for key, value in vars(self.args).items() if value is not None},
        }

    def _save_whole_network(self, path: Path, facts: dict) -> None:
        save_weights(path, self.model, self.tokenizer, stage=self.stage, facts=facts)

    def _save_adapters(self, path: Path, facts: dict) -> None:
        save_lora(path, self.model, stage=self.stage, facts=facts)

    def save_what_is_good(self) -> None:
        """Before the run ends because its numbers went wrong: the weights of the last good step."""
        self.updater.discard()
        if resume.first_not_finite(self.modules):
            self.say(f"the weights themselves are not finite, so they were not saved: {self._way_back()}")
        elif self.step > 0 and not self.args.dry_run:
            self.save()
            self.say(
                f"the weights after step {self.step} are in {self.weight_file}; {self._begin_again('them')}"
                " a lower --learning_rate, or with --dtype float32"
            )

    def _way_back(self) -> str:
        if not self.weight_file.exists():
            return "begin again with a lower --learning_rate"
        return (
            f"the last save in {self.weight_file} is intact; go on from it with --resume if the machine is to blame, or"
            f" {self._begin_again('it')} a lower --learning_rate"
        )

    def _begin_again(self, where: str) -> str:
        """Adapters are no network to begin from."""
        return "begin again with" if self.lora else f"begin again from {where} with --from_weight and"

    def poll(self) -> None:
        """Ends the run, saved, if a signal came. Called between micro-batches, validation batches and sampled tokens.

        With several processes the signal waits for the end of the step, where all of them learn of it.
        """
        if self._alone_and_signalled():
            self.stop()

    def _alone_and_signalled(self) -> bool:
        return self.world_size == 1 and self.interrupts.received is not None

    def stop(self, saved: bool = False) -> None:
        """Saves the last completed update, unless that is `saved`, and leaves with the exit code of the signal."""
        self.updater.discard()
        self.progress.close()
        if not self.args.dry_run:
            if not saved:
                self.save()
            distributed.barrier()  # torchrun ends all processes as soon as one has left
            self.interrupts.ignore()
            self.say(
                f"stopped at step {self.step} of {self.plan.steps}, saved; go on with the same command and --resume"
            )
        raise SystemExit(self.interrupts.exit_code)

    def _report_dry_run(self, step: Step) -> None:
        peak = self.device_choice.peak_memory() / 2**30
        seconds = step.metrics["time"]["seconds"]
        self.say(
            f"dry run: one step took {seconds:.1f} s at a peak of {peak:.2f} GB,"
            f" so {self.plan.steps} steps take about {seconds * self.plan.steps / 3600:.1f} h;"
            " nothing was written but the token cache"
        )


def _interval(asked: int | None, steps: int, times: int) -> int:
    """Steps between two events that happen about `times` times in a run; 0 is never."""
    return asked if asked is not None else max(1, round(steps / times))


def seed_everything(seed: int, step: int) -> None:
    """Random numbers of every kind become a function of (seed, step): resuming at a step needs no stored generator."""
    mixed = (seed * 1_000_003 + step) % 2**32
    random.seed(mixed)
    numpy.random.seed(mixed)
    torch.manual_seed(mixed)  # every device
