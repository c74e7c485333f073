"""One optimizer step, as a stage script sees it."""

import time

from training.engine import distributed
from training.engine.update import DivergedError


class Step:
    """`index` counts from 0; `number`, in messages and metrics, from 1."""

    def __init__(self, run, index: int):
        self.run, self.index, self.number = run, index, index + 1
        self.epoch, self._places = run.plan.rows_of_step(index)
        self.started = time.perf_counter()
        # After an interruption between update and validation, the update has been done already.
        self.replayed = run.pending is not None
        self.updated = self.replayed
        self.metrics: dict = dict(run.pending or {})

    @property
    def evaluates(self) -> bool:
        """Whether validation is due after this step: every `eval_interval` steps and at the end."""
        return self._due(self.run.eval_interval)

    @property
    def samples(self) -> bool:
        """Whether samples are due after this step."""
        return self._due(self.run.sample_interval)

    def _due(self, interval: int) -> bool:
        return interval > 0 and (self.number % interval == 0 or self.number == self.run.plan.steps)

    def micro_batches(self, rows):
        """This process's part of the step's rows, a micro-batch at a time, on the device.

        rows: anything with `batch(epoch, places) -> batch`, a dataclass of tensors.
        """
        if self.replayed:
            return
        plan = self.run.plan
        chunks = [self._places[i : i + plan.batch_size] for i in range(0, len(self._places), plan.batch_size)]
        for places in chunks[distributed.rank() :: plan.world_size]:
            self.run.poll()
            yield self.run.device_choice.move(rows.batch(self.epoch, places))

    def backward(self, loss_sum, count, trained=None) -> None:
        """Adds the gradient of a sum over `count` tokens (or pairs, or sequences: then give `trained` tokens too).

        The mean is taken over the whole step, all its micro-batches and processes.
        """
        self.run.updater.backward(loss_sum, count, trained)

    def measure(self, count, **sums) -> None:
        """Adds up values for metrics.jsonl, each a sum over `count`; the line holds their means over the step."""
        self.run.updater.measure(count, **sums)

    def measure_range(self, **values) -> None:
        """Notes tensors for metrics.jsonl; the line holds `min_<name>` and `max_<name>` of all of the step."""
        self.run.updater.measure_range(**values)

    def update(self) -> None:
        """Applies the step's gradients, unless they are not finite, and notes loss, learning rate and norm."""
        if self.replayed:
            return
        if self.updated:
            raise RuntimeError("a step is one update: a second one would use the gradients of the first")
        run = self.run
        factor = run.learning_rate_factor(self.index)
        try:
            result = run.updater.update(factor, run.interrupts.received is not None)
        except DivergedError:
            run.save_what_is_good()
            raise
        run.tokens += result.trained
        run.interrupted = result.interrupted
        seconds = time.perf_counter() - self.started
        finite = result.skipped is None and result.trained > 0
        self.metrics = {
            "step": self.number,
            "tokens": run.tokens,
            "loss": result.loss if finite else None,
            "lr": run.plan.learning_rate * factor,
            "grad_norm": result.grad_norm if finite else None,
            "trained_share": result.trained / (len(self._places) * run.plan.row_length),
            **result.measures,
        }
        if result.skipped:
            self.metrics["skipped"] = result.skipped
            self.metrics["skipped_steps"] = sum(run.updater.skipped.values())
            rows = f"rows {self._places.start} to {self._places.stop - 1} of epoch {self.epoch}"
            run.say(f"warning: step {self.number} skipped, {result.skipped} loss or gradient ({rows})")
        self.metrics["time"] = {
            "seconds": seconds,
            "tokens_per_second": result.trained / seconds,
            "memory": run.device_choice.peak_memory(),
        }
        self.updated = True
        run.pending = self.metrics

    def report(self, scores) -> None:
        """Notes the `measures` of a validation in metrics.jsonl, and says it in words, which are its text."""
        self.record(**scores.measures)
        self.run.say(f"step {self.number}: {scores}")

    def record(self, **values) -> None:
        """Adds values to the step's line in metrics.jsonl."""
        self.metrics.update(values)
