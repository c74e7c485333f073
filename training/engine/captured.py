"""Forward and backward pass of a micro-batch on CUDA: compiled as one, and launched as one.

A small network computes faster than its host launches kernels. A CUDA graph is a record of kernels that the device
starts by itself, one launch for all of them. It always reads and writes the same memory. So a batch is copied to where
the recorded one was, the loss is copied from there, and gradients keep their place from step to step.

A micro-batch with fewer rows, the last of an epoch, is filled up with rows that train nothing, and replays the same
graph: computed on its own, it would need memory beside that which the graph keeps.

What is recorded must compute what it did before. When it first replays, its loss and the norm of its gradients are
compared with those of the same pass without a graph. If they differ, or a graph cannot be recorded, the run says so
and goes on without.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

from model import cuda_graphs
from model.likelihood import IGNORE
from model.whole import gradients_of, norm_of
from training.engine.update import Updater, forward_backward

MOST_LOSSES = 4  # different functions of a run
TOLERANCE = 5e-3  # relative, for kernels that add up in any order; with --deterministic nothing may differ


def record(work: Callable[[], list[Tensor]], device: torch.device) -> tuple[Callable[[], None], list[Tensor]]:
    """Records the kernels of `work`: returns a function that starts them again, and the tensors that they write."""
    with cuda_graphs.on_the_side(device):
        work()
    torch.cuda.empty_cache()  # a graph allocates from a pool of its own, not from the free blocks that PyTorch keeps
    graph, results = cuda_graphs.record(work, device)
    return graph.replay, results


class Passes:
    """Does what `forward_backward` does, for the batches of a run.

    rows: a micro-batch of so many rows recurs, and is compiled and recorded. compiles: whether the run compiles;
    as_one: network and loss together, and not the layers by themselves.
    generator: where the network's random numbers come from.
    """

    def __init__(self, device, rows: int, compiles: bool, as_one: bool, generator: torch.Generator, say, record=record):
        self.device = device
        self._rows = rows
        self.say = say
        self.compiles = compiles
        self.as_one = as_one
        self.generator = generator
        self.record = record
        self._recurring: dict[tuple, _Recurring] = {}  # by the function of the loss, and the shape of its batches

    def __call__(self, loss_of: Callable, batch, autocast: Callable, updater: Updater) -> list[Tensor]:
        updater.keeps_gradients, begins = True, updater.fresh
        batch = _of_rows(batch)
        if 0 < len(batch.tokens) < self._rows and not updater.balance and getattr(batch, "targets", None) is not None:
            batch = _filled(batch, self._rows)
        if len(batch.tokens) != self._rows:
            self._let_go()
            with self.uncompiled():
                return forward_backward(loss_of, batch, autocast, updater)
        with torch.compiler.set_stance("default") if self.compiles else contextlib.nullcontext():  # filled up or not
            return self._usual(loss_of, batch, autocast, updater, begins)

    def _usual(self, loss_of: Callable, batch, autocast: Callable, updater: Updater, begins: bool) -> list[Tensor]:
        """The passes of a micro-batch with the usual number of rows."""
        key = loss_of, batch.tokens.shape
        if key not in self._recurring:
            if len({function for function, _ in self._recurring} | {loss_of}) > MOST_LOSSES:
                raise ValueError(
                    "step.learn was given a new function again and again, and a GPU compiles and records each anew:"
                    " define the function once, before the loop"
                )
            self._recurring[key] = _Recurring(self, loss_of, autocast, updater)
        return self._recurring[key].run(batch, begins)

    def _let_go(self) -> None:
        """Gives back the memory of all graphs, for a pass without one: experts count every row, so none is added."""
        held = [recurring.let_go() for recurring in self._recurring.values()]
        if any(held) and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()

    def uncompiled(self):
        return torch.compiler.set_stance("force_eager") if self.compiles else contextlib.nullcontext()


class _Recurring:
    """The passes of one loss: the first is only compiled, a later one that begins a step is recorded as well."""

    def __init__(self, owner: Passes, loss_of: Callable, autocast: Callable, updater: Updater):
        self._owner = owner
        self._plain = loss_of
        self._autocast = autocast
        self._updater = updater
        self._loss_of = torch.compile(loss_of, dynamic=False) if owner.as_one else loss_of
        self._around = contextlib.nullcontext  # the context of every pass
        self._has_run = False
        self._records = True
        self._replay: Callable[[], None] | None = None
        self._renewals = 0  # those of `cuda_graphs` when it was recorded; after another one it is recorded again

    def run(self, batch, begins: bool) -> list[Tensor]:
        """begins: whether it is the first micro-batch of its step, when there are no gradients to keep."""
        if self._replay and self._renewals == cuda_graphs.renewals:
            self._updater.begin()
            return self._replayed(batch)
        if self._has_run and self._records and begins:
            return self._compared(batch)
        if not self._has_run and self._owner.compiles:
            if begins:
                return self._first(batch)
            with self._owner.uncompiled():  # what fails to compile could not be undone without what came before it
                return forward_backward(self._plain, batch, self._autocast, self._updater)
        self._has_run = True
        return self._unrecorded(batch)

    def _unrecorded(self, batch, factor: Tensor | None = None) -> list[Tensor]:
        with self._around():
            return forward_backward(self._loss_of, batch, self._autocast, self._updater, factor)

    def _first(self, batch) -> list[Tensor]:
        """Compiles. A compiler that is not there or fails costs speed, not the run."""
        self._has_run = True
        randomness = self._owner.generator.get_state()
        try:
            found = self._unrecorded(batch)
            loss, norm = self._summary(found)
            if loss and not norm:  # so torch 2.11 compiles some functions, without a word
                raise RuntimeError("its gradient would be zero")
            return found
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            self._owner.say(f"warning: the network cannot be compiled ({reason_of(error)}); it trains without")
            self._loss_of = self._plain
            self._around = self._owner.uncompiled
            self._forget()  # a backward pass compiles only when it runs, behind parts that have run
            self._owner.generator.set_state(randomness)
            return self._unrecorded(batch)

    def _compared(self, batch) -> list[Tensor]:
        """A pass without the graph, then the graph; keeps it if both agree. The gradients are those of one pass."""
        self.let_go()
        updater, generator = self._updater, self._owner.generator
        randomness = generator.get_state()
        found = self._unrecorded(batch)
        expected = self._summary(found)
        if not all(map(math.isfinite, expected)):  # an overflow in float16, say: nothing can be compared
            return found
        randomness_after = generator.get_state()
        try:
            self._batch = dataclasses.replace(batch, **{name: t.clone() for name, t in _tensors(batch).items()})
            self._factor = torch.full((), updater.factor, device=self._owner.device)
            renewals = cuda_graphs.renewals
            replay, self._results = self._owner.record(self._work, self._owner.device)
            generator.set_state(randomness)
            self._forget()
            replay()
            replayed = self._summary(self._results)
        except Exception as error:  # whatever a driver, a GPU or a version of torch refuses
            self._owner.say(f"warning: no CUDA graph of the step can be recorded ({reason_of(error)}); it runs without")
        else:
            tolerance = 0.0 if torch.are_deterministic_algorithms_enabled() else TOLERANCE
            if all(math.isclose(a, b, rel_tol=tolerance) for a, b in zip(expected, replayed)):
                self._replay, self._renewals = replay, renewals
                return [result.clone() for result in self._results]
            self._owner.say(
                f"warning: a CUDA graph of the step computes loss and gradient norm {replayed} instead of {expected},"
                " so the step runs without"
            )
        self._records = False
        replay = None
        self.let_go()
        self._forget()
        generator.set_state(randomness)
        found = self._unrecorded(batch)
        generator.set_state(randomness_after)
        return found

    def let_go(self) -> bool:
        """Forgets the graph, and says whether there was one: a pass that begins a step records another."""
        had_one = self._replay is not None
        self._replay = self._batch = self._results = None
        return had_one

    def _forget(self) -> None:
        """Forgets what this micro-batch, the first of its step, has added to gradients and to the counts of experts."""
        self._updater.forget_gradients()
        if self._updater.balance:
            self._updater.balance.forget()

    def _work(self) -> list[Tensor]:
        return self._unrecorded(self._batch, self._factor)

    def _replayed(self, batch) -> list[Tensor]:
        for name, tensor in _tensors(self._batch).items():
            tensor.copy_(getattr(batch, name), non_blocking=True)
        self._factor.fill_(self._updater.factor)
        self._replay()
        return [result.clone() for result in self._results]

    def _summary(self, found: list[Tensor]) -> list[float]:
        """Loss and norm of the gradients; waits for the device."""
        return torch.stack([found[0].float(), norm_of(gradients_of(self._updater.parameters)).float()]).tolist()


def _tensors(batch) -> dict[str, Tensor]:
    """The fields of a batch that are tensors, by name."""
    values = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def _of_rows(batch):
    """The batch with its tensors [B, T] alone. Numbers, and tensors of a length that differs from batch to batch, would
    be compiled and recorded as if they always were the same."""
    kept = {name for name, tensor in _tensors(batch).items() if tensor.shape == batch.tokens.shape}
    return dataclasses.replace(batch, **{f.name: None for f in dataclasses.fields(batch) if f.name not in kept})


def _filled(batch, rows: int):
    """The batch with so many rows. What is added has no target, and is no more than one position to attention."""
    count = rows - len(batch.tokens)
    added = {n: t.new_full((count, *t.shape[1:]), IGNORE if n == "targets" else 0) for n, t in _tensors(batch).items()}
    return dataclasses.replace(batch, **{name: torch.cat([t, added[name]]) for name, t in _tensors(batch).items()})


def reason_of(error: Exception) -> str:
    """The words of an error that say why, without the pages that may follow."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
