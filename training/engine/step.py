"""One step of a run, as a stage script sees it:

for batch in step.micro_batches(rows):
    step.learn(loss_of, batch, count)  # or, with a loss that the script computes: step.backward(loss_sum, count)
step.update()
"""

import time
from collections.abc import Iterable, Iterator

import torch

from model.errors import on_one_line
from training.engine import distributed
from training.engine.machine import Machine
from training.engine.plan import Plan
from training.engine.state import RunState, seed_everything
from training.engine.update import Measures, Updater, UpdateResult, forward_backward

MAIN = "model"  # the network that the run writes; others, such as a critic, have their own names


class Step:
    """One turn of the loop, with one update. `index` counts from 0; `number`, in messages and metrics, from 1.

    A step that samples and then makes several updates is a `training.engine.iteration.Iteration`.
    """

    def __init__(
        self,
        state: RunState,
        plan: Plan,
        machine: Machine,
        updaters: dict[str, Updater],
        measures: Measures,
        rate_factor: float,
        *,
        seed: int,
        eval_interval: int,
        sample_interval: int,
    ):
        self._state, self._plan, self._machine, self._updaters = state, plan, machine, updaters
        self._measures, self._rate_factor, self._seed = measures, rate_factor, seed
        self._eval_interval, self._sample_interval = eval_interval, sample_interval
        self.index, self.number = state.step, state.step + 1
        self.epoch, self.places = plan.rows_of_step(self.index)
        # If the run was interrupted between update and validation, the update has already been made.
        self._replays, self._updates_left = bool(state.updates), 1
        self._started = time.perf_counter()
        self._recorded: dict = {}
        self.metrics, self.written = self._mean_of_updates(), []
        seed_everything(seed, self.number)

    @property
    def is_complete(self) -> bool:
        """Whether every update of the step was made."""
        return self._replays or self._updates_left == 0

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self._started

    @property
    def evaluates(self) -> bool:
        """Whether validation is due after this step: every `eval_interval` steps and at the end."""
        return self._due(self._eval_interval)

    @property
    def samples(self) -> bool:
        """Whether samples are due after this step."""
        return self._due(self._sample_interval)

    def _due(self, interval: int) -> bool:
        return interval > 0 and (self.number % interval == 0 or self.number == self._plan.steps)

    @property
    def own_places(self) -> list[range]:
        """The places of this process's rows of the step, one range for each micro-batch."""
        return distributed.own_chunks(self.places, self._plan.batch_size)

    def micro_batches(self, rows) -> Iterator:
        """Yields this process's rows of the step, one micro-batch at a time, on the device.

        rows: anything with `batch(epoch, places) -> batch`, a dataclass of tensors.
        """
        ahead = self._machine.batches_ahead
        made = ahead.of_step(self.index, rows) if ahead else (rows.batch(self.epoch, at) for at in self.own_places)
        if not self._machine.compiles:
            return self.batches(made)
        from training.engine.speed import eagerly_if_odd  # few runs compile

        return eagerly_if_odd(self.batches(made), min(self._plan.batch_size, self._plan.rows_per_epoch))

    def batches(self, batches: Iterable) -> Iterator:
        """Moves each of `batches`, dataclasses of tensors, to the device. A signal ends the run between two of them."""
        if self._replays:
            return
        for batch in self._machine.shards.batches(self, batches) if self._machine.shards else batches:
            self._machine.poll()
            yield self._machine.move(batch)

    def learn(self, loss_of, batch, count, trained=None) -> list[torch.Tensor]:
        """Computes `loss_of(batch)` in the precision of the run and adds its gradient, as `backward` does.

        loss_of: a function of a batch's tensors [B, T] that returns the loss, a sum over `count` tokens, or a tuple
        that begins with it. A GPU records it with its gradient and replays both, also with rows added that have no
        target: nothing else may go into it, and it must be the same in every step. Returns the rest of the tuple.
        """
        updater, run = self._updaters[MAIN], self._machine.recorded_passes or forward_backward
        loss_sum, *measures = run(loss_of, batch, self._machine.autocast, updater)
        updater.add(loss_sum, count, trained)
        return measures

    def backward(self, loss_sum, count, trained=None, network: str = MAIN) -> None:
        """Adds the gradient of a sum over `count` tokens (or pairs, or sequences: then `trained` counts the tokens).

        The update normalises by the counts of all micro-batches and processes. network: the one that the loss trains.
        """
        self._updaters[network].backward(loss_sum, count, trained)

    def measure(self, count, **sums) -> None:
        """Adds up values for metrics.jsonl, each a sum over `count` things; the line has their means over the step."""
        self._measures.add(count, **sums)

    def measure_range(self, **values) -> None:
        """Notes tensors for metrics.jsonl; the line has `min_<name>` and `max_<name>` over the step."""
        self._measures.add_range(**values)

    def update(self) -> None:
        """Applies the gradients if they are finite, and notes the metrics of each network."""
        if self._replays:
            return
        if not self._updates_left:
            raise RuntimeError("a step is one update: a second one would use the gradients of the first")
        asked, results = self._machine.interrupts.received is not None, {}
        for name in sorted(self._updaters, key=lambda name: name == MAIN):  # MAIN last: a critic may diverge
            measures = self._measures if name == MAIN else None
            results[name] = self._updaters[name].update(self._rate_factor, measures, asked)
        self._updates_left = 0
        self._state.tokens += results[MAIN].trained
        self._machine.ends = results[MAIN].interrupted
        self._state.updates.append(self._line_of(results))
        self.metrics = self._mean_of_updates() | self._recorded

    def _line_of(self, results: dict[str, UpdateResult]) -> dict:
        """What metrics.jsonl says of an update."""
        result, seconds = results[MAIN], self.age
        line = {
            "step": self.number,
            "tokens": self._state.tokens,
            "loss": result.loss if result.is_finite else None,
            "lr": self._plan.learning_rate * self._rate_factor,
            "grad_norm": result.grad_norm if result.is_finite else None,
            "trained_share": result.trained / (len(self.places) * self._plan.row_length),
            **result.measures,
        }
        for name, other in results.items():
            if name != MAIN and other.is_finite:
                line |= {f"{name}/loss": other.loss, f"{name}/grad_norm": other.grad_norm}
            if other.no_gradient or other.skipped:
                from training.engine.no_update import note  # most steps are applied

                note(self, name, other, line)
        speed = max(each.trained for each in results.values()) / seconds  # a critic may learn alone
        line |= {"time/seconds": seconds, "time/tokens_per_second": speed, "time/memory": self._machine.peak_memory()}
        if self._machine.device.type == "cuda":
            from training.report.peak import share_of_peak  # only peaks of GPUs are known

            line |= share_of_peak(self._machine, self._plan, speed)
        return line

    def report(self, scores) -> None:
        """Writes the `measures` of a validation to metrics.jsonl, and prints its `words`."""
        self.record(**scores.measures)
        self._machine.say(f"step {self.number}: {scores.words}")

    def show(self, samples: list[dict], text: str = "") -> None:
        """Prints what the network wrote after this step, as `text` if that is given; samples.jsonl keeps `samples`."""
        lines = (on_one_line(f"  {each['prompt']} | {each['answer']}".replace("\n", " ")) for each in samples)
        self._machine.say(f"step {self.number} writes:\n" + (text or "\n".join(lines)))
        self.written = samples

    def record(self, **values) -> None:
        """Adds values to the step's line in metrics.jsonl, before or after its update: numbers, and tensors of one."""
        self._recorded |= {name: value.item() if hasattr(value, "item") else value for name, value in values.items()}
        self.metrics |= self._recorded

    def _mean_of_updates(self) -> dict:
        """The metrics of the step, from those of its updates."""
        return dict(*self._state.updates)
