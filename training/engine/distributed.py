"""Data parallelism: every process has the whole model and its own part of each step's rows.

Gradients are summed over processes once per optimizer step. Since losses are sums and are divided by the
trained tokens of all processes (`training/engine/update.py`), the result is that of one process with the same rows,
whoever computed which. Started by `torchrun --nproc_per_node N`; without it there is one process and all of
this does nothing.
"""

import contextlib
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist

from model.errors import SproutError


class LostProcessError(SproutError):
    """Another process of the run does not answer any more."""

    of_all_processes = False


@contextlib.contextmanager
def _with_the_others() -> Iterator[None]:
    """Around what all processes do at once: it fails where one of them has gone."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise LostProcessError(
            f"another process of this run has ended or cannot be reached ({reason}): see what it said, and go on with"
            " the same command and --resume"
        ) from error


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    return int(os.environ.get("RANK", 0))


def is_main() -> bool:
    """Whether this process prints and writes files."""
    return rank() == 0


def start(device: torch.device) -> None:
    """Joins the processes that torchrun started (NCCL between GPUs, Gloo between CPUs)."""
    if world_size() > 1 and not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def stop() -> None:
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def barrier() -> None:
    """Waits until every process is here."""
    if world_size() > 1:
        with _with_the_others():
            dist.barrier()


def sum_over_processes(tensor: torch.Tensor) -> torch.Tensor:
    """Adds up `tensor` over all processes, in place."""
    if world_size() > 1:
        with _with_the_others():
            dist.all_reduce(tensor)
    return tensor


def largest_over_processes(tensor: torch.Tensor) -> torch.Tensor:
    """The largest of each number of `tensor` over all processes, in place."""
    if world_size() > 1:
        with _with_the_others():
            dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return tensor


def union(names) -> list[str]:
    """The names that any process has, in one order for all of them."""
    if world_size() == 1:
        return sorted(names)
    everybody: list = [None] * world_size()
    with _with_the_others():
        dist.all_gather_object(everybody, sorted(names))
    return sorted(set().union(*everybody))


def together(work) -> None:
    """Runs `work()` on the main process; an error of it is raised by every process, so that none waits for ever."""
    error: list = [None]
    if is_main():
        try:
            work()
        except SproutError as raised:
            error = [raised]
    if world_size() > 1:
        with _with_the_others():
            dist.broadcast_object_list(error)
    if error[0] is not None:
        raise error[0]


def sum_gradients(parameters: list[torch.nn.Parameter]) -> None:
    """Adds up the gradients of all processes, as one message. A process that had no rows contributes zeros."""
    if world_size() == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in parameters]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    sum_over_processes(flat)
    parts = flat.split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients)])
