"""Data parallelism: every process has the whole model and its own part of each step's rows.

Gradients are summed over processes once per optimizer step. Losses are sums, divided by the trained tokens of all
processes (`training/engine/update.py`), so the result is that of one process with the same rows. `torchrun
--nproc_per_node N` starts several processes. With one process, every function here returns at once;
`training/engine/collectives.py` does the work for several.
"""

import os

import torch


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    return int(os.environ.get("RANK", 0))


def is_main() -> bool:
    """Whether this process prints and writes files."""
    return rank() == 0


def own_chunks(places: range, size: int) -> list[range]:
    """This process's share of some rows, in chunks of `size`; the processes take turns."""
    return [places[i : i + size] for i in range(0, len(places), size)][rank() :: world_size()]


def _collectives():
    from training.engine import collectives  # one process alone does not load it

    return collectives


def start(device: torch.device) -> None:
    """Joins the processes that torchrun started (NCCL between GPUs, Gloo between CPUs)."""
    if world_size() > 1:
        _collectives().start(device)


def stop(failed: bool) -> None:
    if world_size() > 1:
        _collectives().stop(failed)


def barrier() -> None:
    """Waits until every process is here."""
    if world_size() > 1:
        _collectives().barrier()


def sum_over_processes(tensor: torch.Tensor) -> torch.Tensor:
    """Adds up `tensor` over all processes, in place."""
    return tensor if world_size() == 1 else _collectives().sum_over_processes(tensor)


def largest_over_processes(tensor: torch.Tensor) -> torch.Tensor:
    """Replaces each element of `tensor` by its maximum over all processes, in place."""
    return tensor if world_size() == 1 else _collectives().largest_over_processes(tensor)


def gathered(value) -> list:
    """The value of each process, in the order of ranks: plain values and tensors on the CPU."""
    return [value] if world_size() == 1 else _collectives().gathered(value)


def union(names) -> list[str]:
    """The names that any process has, in the same order in every process."""
    return sorted(set().union(*gathered(sorted(names))))


def together(work) -> None:
    """Runs `work()` on the main process. Every process raises its `SproutError`, so that none waits for ever."""
    work() if world_size() == 1 else _collectives().together(work)
