"""An iteration of reinforcement learning: first it samples, then it makes several updates on what it sampled.

    for step in run.steps(Iteration):
        answers = step.keep("answers", sample)          # sampled once per iteration, and saved with the run
        for _ in step.updates(3):                       # the updates that are still to be made
            for batch in step.batches(split(answers)):
                ...
                step.backward(policy_loss, count)
                step.backward(value_loss, count, network="critic")
            step.update()

An interrupted run resumes after its last update, with the answers that it had sampled.
"""

import contextlib
import time
from collections.abc import Callable, Iterator

import torch

from training.engine.machine import Interrupted
from training.engine.state import seed_everything
from training.engine.step import Step

_OF_THE_LAST = ("step", "tokens", "lr", "skipped", "skipped_steps")


class Iteration(Step):
    """A `Step` with several updates, of one or several networks."""

    def keep(self, name: str, make: Callable[[], dict | list | tuple | torch.Tensor]):
        """The result of `make`: plain values, and tensors, which are moved to the CPU. It is computed once an iteration
        and saved with the run until the iteration is complete. So `make` may draw random numbers and use networks that
        the updates change."""
        if name not in self._state.kept:
            shards = self._machine.shards
            with shards.whole() if shards else contextlib.nullcontext():  # processes sample and score unalike
                self._state.kept[name] = _on_cpu(make())
        seed_everything(self._seed, self.number, f"after {name}")
        return self._state.kept[name]

    def updates(self, count: int) -> Iterator[int]:
        """Yields the indices of the updates still to be made, of `count`; the loop calls `update` once for each."""
        done, self._replays = len(self._state.updates), False
        self._updates_left = 0
        for index in range(done, count):
            if index and self._machine.is_asked_to_end:
                raise Interrupted(self._machine.interrupts.exit_code)
            seed_everything(self._seed, self.number, f"update {index}")
            self._updates_left = 1
            if index > done:  # the first one's time begins with the step: to sample takes most of it
                self._started = time.perf_counter()
            yield index
            if self._updates_left:
                raise RuntimeError("a loop over `updates` calls step.update() once in each")

    def _mean_of_updates(self) -> dict:
        return mean_of_updates(self._state.updates)


def mean_of_updates(lines: list[dict]) -> dict:
    """The metrics of an iteration: means over its updates, but sums of seconds, and extremes of ranges."""
    metrics: dict = {}
    for name in dict.fromkeys(name for line in lines for name in line):
        values = [line[name] for line in lines if line.get(name) is not None]
        if name == "time/seconds":
            metrics[name] = sum(values)
        elif name in ("time/tokens_per_second", "time/share_of_peak"):
            metrics[name] = sum(line["time/seconds"] * line.get(name, 0.0) for line in lines) / metrics["time/seconds"]
        elif not values or name in _OF_THE_LAST or name.startswith("time/"):
            metrics[name] = values[-1] if values else None
        elif name.startswith(("min_", "max_")):
            metrics[name] = min(values) if name.startswith("min_") else max(values)
        else:
            metrics[name] = sum(values) / len(values)
    return metrics


def _on_cpu(value):
    """The same value, with every tensor in it detached and moved to the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: _on_cpu(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_on_cpu(inner) for inner in value)
    return value
