"""The run: everything about training that is the same in every stage, behind a small surface.

A stage script shows its loop, data, loss and parameters, and leaves the mechanism to the run:

    with Run(args, stage="pretrain") as run:
        ...                                                 # network, data, plan
        run.begin(model, tokenizer, plan, optimizers, ...)  # prints the plan; resumes
        for step in run.steps():                            # goes on where it stopped; saves; ends on a signal
            ...                                             # see training/engine/step.py

`state` is the progress of a run, `output` its files, `machine` its device and processes.
"""

import math
from contextlib import nullcontext

import torch

from dataset.command_line import parse_sources
from model.errors import UsageError
from model.files.checkpoint import save_checkpoint
from model.whole import first_not_finite
from training.engine import distributed
from training.engine.machine import Interrupted, Machine, loaded_code
from training.engine.output import Output
from training.engine.plan import Plan
from training.engine.schedules import learning_rate_factor
from training.engine.state import RunState, identity_of_run, seed_everything, whole_state
from training.engine.step import MAIN, Step
from training.engine.update import Measures, Updater
from training.report.description import Progress, describe, describe_plan, write_description
from training.report.metrics import Metrics


class Run:
    """One training run of one stage. A context that releases output, signal handlers and processes on exit."""

    def __init__(self, args, stage: str):
        if args.allow_changed and not args.resume:  # this would move the earlier run aside and begin again
            raise UsageError("--allow_changed lets --resume go on with other flags: give both")
        for items in (args.data_path, args.val_path):
            parse_sources(items or [])  # a missing file is found before the network is read
        self.args, self.stage = args, stage
        self.progress = Progress(distributed.is_main())
        self.say = self.progress.say
        self.machine = Machine(args, self.say)
        self.autocast = self.machine.autocast
        self.state = RunState()
        self.more_facts = dict  # a stage may put a function here: what else a weight says of itself, at every save
        self.output: Output | None = None
        self.metrics: Metrics | None = None
        self.plan: Plan | None = None
        self._tracked = None
        if args.tracker != "tensorboard" or args.tracker_project != "sprout":
            from training.report.trackers import tracked  # most runs send nothing

            self._tracked = tracked(self)
        self._prepared = None  # the network that `prepare` was called with
        self.saved_at = None
        self._seconds_of_updates, self._seconds_beside, self._can_afford_samples = 0.0, 0.0, False

    def begins_with(self, model, origin) -> None:
        """Says what the network begins with. Raises `UsageError` at once for flags that cannot work."""
        if self.args.optimizer_memory == "compact" or self.args.offload_states or self.args.fit:
            from training.engine.compact import refuse  # only with these flags

            refuse(self.args, model, self.machine.choice)
        if not self.args.resume:
            return self.say(f"begins with {origin.description}")
        from training.engine.resume import check_there  # a run from the start does not load it

        check_there(self.args, model.config.hidden_size)

    def __enter__(self):
        self.machine.start()
        seed_everything(self.args.seed, step=0)
        return self

    def __exit__(self, kind, error, trace):
        try:
            if error is not None:
                from training.engine.early_end import end_early  # a run that comes to its end does not load it

                end_early(self, error)
        finally:
            self.progress.close()
            if self.metrics:
                self.metrics.close()
            if self.output:
                self.output.release()
            self.machine.stop(failed=isinstance(error, Exception))  # Interrupted is none

    def begin(
        self,
        model,
        tokenizer,
        plan: Plan,
        optimizers: list[torch.optim.Optimizer],
        *,
        data: dict,
        description: dict | None = None,
        nominal_count: int | None = None,
        others: dict[str, tuple[torch.nn.Module, list[torch.optim.Optimizer]]] | None = None,
    ) -> None:
        """Prints the plan, claims the output and, with --resume, restores the run.

        optimizers: over the trained parameters, each group with its `peak_lr`.
        data: the identity of the training data; a resumed run refuses any other.
        description: what run.json says about the data, as in `training.report.description.Description`.
        nominal_count: roughly the sum of the counts that an update passes to `backward`, if they are not tokens.
        others: further trained networks by name, each with its optimizers, such as a critic. Each has its own gradient
            clipping and guard. They are saved in the run's state, but not in the weight that it writes.
        Raises `UsageError` when there is nothing to resume or something differs.
        """
        args = self.args
        self.model, self.tokenizer, self.plan = model, tokenizer, plan
        learners = {MAIN: (model, optimizers), **(others or {})}
        self.networks = {name: network.train() for name, (network, _) in learners.items()}
        half = self.machine.choice.dtype == torch.float16
        count = nominal_count or plan.tokens_per_step
        make = self.machine.shards.updater if self.machine.shards else Updater
        self.updaters = {name: make(each, count, args.grad_clip, half) for name, (_, each) in learners.items()}
        for name, network in self.networks.items():
            if network.config.model_type == "qwen3_moe":
                from training.engine.balance import Balance

                self.updaters[name].balance = Balance(network)
        self.measures = Measures()
        if self._prepared is not model:
            self.prepare(model, plan)
        self.identity = identity_of_run(self.stage, args, plan, model, tokenizer, self.machine, data)
        self.code = self.state.code = loaded_code()
        stage = "lora" if self.output.of_adapters else self.stage
        self.description = describe(stage, args.optimizer, plan, model, description or {})
        for line in describe_plan(args, plan, model, self.machine, self.output, self.description.tokens_per_epoch):
            self.say(line)
        self._claim_output()

    def prepare(self, model, plan: Plan) -> None:
        """Compiles `model` and turns on activation checkpointing, as far as the plan says so.

        `begin` does this, too. A stage calls it earlier if the untrained network computes reference values, so that
        they come from the same kernels.
        """
        model.recomputes_layers = plan.activation_checkpointing
        self.output = Output(self.args.out_dir, f"{self.args.weight_name}_{model.config.hidden_size}", model)
        self.machine.prepare(model, plan, self.output.resume_file if self.args.resume else None)
        self._prepared = model

    def _claim_output(self) -> None:
        """Locks the output against a second run, then resumes it or moves the result of an earlier run aside."""
        distributed.barrier()  # another process may still be reading its starting point from the output
        if not self.args.dry_run:
            distributed.together(self._lock_output)
        if self.args.resume:
            from training.engine import resume

            resume.go_on(self)
        if not self.args.dry_run:
            distributed.together(self._open_logs)

    def _lock_output(self) -> None:
        self.output.claim()
        self.output.check_space(self.networks, self.updaters, resumes=self.args.resume)

    def _open_logs(self) -> None:
        output, step = self.output, self.state.step  # a tracker may refuse to begin, so it comes before the move
        with self._tracked(output.logs, step) if self._tracked else nullcontext(Metrics) as open_metrics:
            if not self.args.resume and (kept := output.keep_aside()):
                self.say(f"an earlier result was moved to {kept}")
            self.metrics = open_metrics(output.logs, step)
        facts = {"said": self.progress.before, "code": self.code, "environment": self.machine.described()}
        facts["flags"] = {name: value for name, value in vars(self.args).items() if value is not None}
        self.metrics.describe = lambda: write_description(output.logs, self.description, **facts)
        self.metrics.describe()
        if self.args.resume:
            from training.engine.resume import mend_output

            mend_output(output, self.metrics.kept, step, self._save_weights, self.say)

    def steps(self, kind: type[Step] = Step):
        """Yields the remaining steps, each a `kind`; between them writes metrics, checkpoints and the loss curve."""
        args, state, plan = self.args, self.state, self.plan
        self.machine.interrupts.defer()
        self.progress.start(state.step, plan.steps)
        if self.machine.compiles:
            self.say("compiling: the first step takes up to a minute longer; Ctrl-C waits for it, twice ends at once")
        # A dry run takes few: the first step compiles, and the second is recorded as a CUDA graph.
        few = 3 if self.machine.recorded_passes else 2 if self.machine.compiles else 1
        first, last = state.step, min(plan.steps, state.step + few) if args.dry_run else plan.steps
        while state.step < last:
            rate = learning_rate_factor(state.step, plan.steps, plan.warmup_steps, plan.schedule)
            if not 0 <= rate < math.inf:  # of a schedule of the user's: it would spoil the weights at once
                from training.engine.not_finite import wrong_rate

                raise wrong_rate(rate, state.step + 1)
            step = kind(
                state,
                plan,
                self.machine,
                self.updaters,
                self.measures,
                rate,
                seed=args.seed,
                eval_interval=_interval(args.eval_interval, plan.steps, plan.validations),
                sample_interval=_interval(args.sample_interval, plan.steps, 5 if self._can_afford_samples else 1),
            )
            yield step
            self._finish(step)
        self.progress.close()
        if args.dry_run:
            from training.report.dry_run import result_of

            self.say(result_of(step if last > first else None, first, plan, self.machine))
        elif self.machine.is_main and self.saved_at:  # else the run had ended before it was resumed
            self._close()

    def _finish(self, step: Step) -> None:
        if not step.is_complete:
            raise RuntimeError("a stage script must call step.update() once in every step")
        # Samples change nothing that is saved, so they may depend on the clock. One is taken to last as long as a step.
        seconds = step.metrics["time/seconds"]
        self._seconds_of_updates += seconds
        self._seconds_beside += max(0.0, step.age - seconds)
        affords = self._seconds_beside + seconds <= self._seconds_of_updates / 10  # with --shard, by one clock for all
        self._can_afford_samples = distributed.gathered(affords)[0] if self.machine.shards else affords
        self.state.complete({} if self.args.dry_run else step.metrics)
        finished = self.state.step == self.plan.steps
        self.progress.advance(step.metrics, self.machine.peak_memory(), finished or self._due("log_interval"))
        if self.args.dry_run:
            return
        if self.machine.is_main:
            self.metrics.write(step.metrics)
            self.metrics.keep(step.number, step.written)
        if finished or self._due("save_interval"):
            self.save()
            if self.machine.is_main:
                self.metrics.draw(sparingly=True)
                if self.args.histograms:
                    from training.report.histograms import write_histograms

                    write_histograms(self.metrics.events, self.model, self.state.step)
        if not finished and self.machine.is_asked_to_end:
            raise Interrupted(self.machine.interrupts.exit_code)

    def _due(self, interval: str) -> bool:
        return self.state.step % getattr(self.args, interval) == 0

    def _close(self) -> None:
        """Prints the closing words of a completed run."""
        from training.report.description import FEWEST_JUDGED, amount, longer, way_to_page  # said only here

        self.metrics.draw()
        if self.state.step >= FEWEST_JUDGED:
            from training.diagnosis.diagnosis import closing_words  # loaded only at the end

            for line in closing_words(self.metrics.path, self.description):
                self.say(line)
        else:
            self.say(f"a run of {self.state.step} steps is too short to judge: {longer(self.plan)}")
        self.say(way_to_page(self.output.logs))
        self.say(f"done: {self.output.weight_file} after {self.state.step} steps, {amount(self.state.tokens)} tokens")

    def save(self) -> None:
        """Writes the weights and the state of the run, each whole or not at all. All processes call it."""
        if self.args.dry_run:
            return
        contents = whole_state(self.identity, self.state, self.networks, self.updaters)
        if spoilt := self.spoilt():
            from training.engine.early_end import not_saved

            raise not_saved(self, spoilt)
        self.saved_at = self.place
        if self.machine.shards:
            self.machine.shards.gather(self, contents["networks"][MAIN])
        if not self.machine.is_main:
            return
        self.metrics.sync()
        self._save_weights()
        save_checkpoint(self.output.resume_file, contents)

    @property
    def place(self) -> tuple:
        """The point that a save belongs to: it changes with every update and every value kept by an iteration."""
        return self.state.step, len(self.state.updates), *self.state.kept

    def _save_weights(self) -> None:
        whole = self.machine.shards or self  # with --shard, the network and its facts as they were gathered
        facts = {
            "step": self.state.step,
            "tokens": self.state.tokens,
            "best": self.state.best,
            "imported": self.plan.imported,
            "arguments": {key: value for key, value in vars(self.args).items() if value is not None},
        } | whole.more_facts()
        self.output.save_weights(whole.model, self.tokenizer, self.stage, facts)

    def spoilt(self) -> str | None:
        """The name of a parameter that is not finite, in any network and process; None if there is none."""
        found = next(filter(None, map(first_not_finite, self.networks.values())), None)
        return next(filter(None, distributed.gathered(found)), None)


def _interval(asked: int | None, steps: int, times: int) -> int:
    """Steps between events: `asked`, or about `times` events per run; 0 means never."""
    return asked if asked is not None else max(1, round(steps / times))
