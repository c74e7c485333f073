"""CUDA graphs and streams of a GPU that only pretends: what is recorded is noted, and made again by `replay`."""

import torch
from torch.utils._pytree import tree_leaves

recording: list["Graph"] = []  # the graph that is being recorded


def refuse_to_wait(what: str) -> None:
    """While a graph is recorded no kernel runs, so there is nothing to wait for."""
    if recording:
        raise RuntimeError(f"{what}: operation not permitted when stream is capturing")


class Graph:
    """Stands for `torch.cuda.CUDAGraph`. What the recorded operations write, they write to the same memory again."""

    def __init__(self):
        self._work, self._before, self._generators = [], {}, [torch.default_generator]

    def register_generator_state(self, generator: torch.Generator) -> None:
        self._generators.append(generator)

    def capture_begin(self, pool, capture_error_mode: str) -> None:
        self._random = [generator.get_state() for generator in self._generators]
        recording.append(self)

    def note(self, compute, written: list[torch.Tensor]):
        """Computes for the first time. written: the tensors that it changes in place, which `capture_end` undoes."""
        for storage in (each.untyped_storage() for each in written):
            self._before.setdefault(storage.data_ptr(), (storage, storage.clone()))
        found = compute()
        self._work.append((compute, [] if written else _tensors(found)))
        return found

    def capture_end(self) -> None:
        if not recording:
            raise RuntimeError("nothing is being recorded")
        recording.pop()
        for storage, before in self._before.values():
            storage.copy_(before)
        for generator, state in zip(self._generators, self._random, strict=True):
            generator.set_state(state)

    def replay(self) -> None:
        for compute, results in self._work:
            for kept, new in zip(results, _tensors(compute())):
                if kept.data_ptr() != new.data_ptr():  # no view of what is there
                    kept.copy_(new)


def _tensors(found) -> list[torch.Tensor]:
    return [each for each in tree_leaves(found) if isinstance(each, torch.Tensor)]


class Stream:
    """Stands for `torch.cuda.Stream` and its events: everything runs in one order."""

    def __init__(self, device=None):
        pass

    def is_capturing(self) -> bool:
        return bool(recording)

    def record_event(self):
        return self

    def wait_event(self, event) -> None:
        pass

    wait_stream = wait_event
