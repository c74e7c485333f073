"""One optimizer step, as a stage script sees it."""

import time

from training import distributed


class Step:
    """`index` counts from 0; `number`, in messages and metrics, from 1."""

    def __init__(self, run, index: int):
        self.run, self.index, self.number = run, index, index + 1
        self.epoch, self._places = run.plan.rows_of_step(index)
        self.started = time.perf_counter()
        # After an interruption between update and validation the update is not done again.
        self.updated = run.pending is not None
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
        if self.updated:
            return
        plan = self.run.plan
        chunks = [self._places[i : i + plan.batch_size] for i in range(0, len(self._places), plan.batch_size)]
        for places in chunks[distributed.rank() :: plan.world_size]:
            self.run.poll()
            yield self.run.device_choice.move(rows.batch(self.epoch, places))

    def backward(self, loss_sum, trained) -> None:
        """Adds the gradient of a sum over `trained` tokens; the mean is taken over the whole step."""
        self.run.updater.backward(loss_sum, trained)

    def update(self) -> None:
        """Applies the step's gradients, unless they are not finite, and notes loss, learning rate and norm."""
        if self.updated:
            return
        run = self.run
        factor = run.learning_rate_factor(self.index)
        result = run.updater.update(factor)
        run.tokens += result.trained
        seconds = time.perf_counter() - self.started
        finite = result.skipped is None
        self.metrics = {
            "step": self.number,
            "tokens": run.tokens,
            "loss": result.loss if finite else None,
            "lr": run.plan.learning_rate * factor,
            "grad_norm": result.grad_norm if finite else None,
            "trained_share": result.trained / (len(self._places) * run.plan.row_length),
        }
        if not finite:
            self.metrics["skipped"] = result.skipped
            rows = f"rows {self._places.start} to {self._places.stop - 1} of epoch {self.epoch}"
            run.say(f"warning: step {self.number} skipped, {result.skipped} loss or gradient ({rows})")
        self.metrics["time"] = {
            "seconds": seconds,
            "tokens_per_second": result.trained / seconds,
            "memory": run.device_choice.peak_memory(),
        }
        self.updated = True
        run.pending = self.metrics

    def record(self, **values) -> None:
        """Adds values to the step's line in metrics.jsonl."""
        self.metrics.update(values)
