"""What a run has on a CUDA GPU, on a CPU: passes that are recorded, and batches made by a thread."""

import contextlib
from unittest import mock

import torch

from training.engine.captured import Passes
from training.engine.machine import Machine
from training.engine.on_cuda import BatchesAhead


class FakeGraphs:
    """Stands for CUDA graphs: what is recorded is called again, and writes its results where they were."""

    def __init__(self, error: float = 0.0):
        self.error = error  # of every loss that is replayed
        self.recorded = self.replayed = 0

    def record(self, work, device):
        self.recorded += 1
        work()  # as the real one warms up: the gradients and random numbers of this do not count
        results = work()

        def replay():
            self.replayed += 1
            for kept, new in zip(results, work(), strict=True):
                kept.copy_(new)
            results[0].add_(self.error)

        return replay, results

    def passes(self, rows: int, say=print, compiles: bool = False, as_one: bool | None = None) -> Passes:
        as_one = compiles if as_one is None else as_one
        return Passes(torch.device("cpu"), rows, compiles, as_one, torch.default_generator, say, self.record)


@contextlib.contextmanager
def fake_gpu(compiles: bool = False):
    """Context in which every run records its passes and makes its batches ahead; yields its `FakeGraphs`."""
    graphs, honest = FakeGraphs(), Machine.prepare

    def prepare(machine, model, plan, resume_file=None):
        honest(machine, model, plan)
        machine.batches_ahead = BatchesAhead(plan, lambda batch: lambda: batch)
        machine.recorded_passes = graphs.passes(min(plan.batch_size, plan.rows_per_epoch), machine.say, compiles)

    with mock.patch.object(Machine, "prepare", prepare):
        yield graphs
