"""The collective operations of `training/engine/distributed.py`, for runs of several processes."""

import contextlib
import threading
from collections.abc import Iterator
from datetime import timedelta

import torch
import torch.distributed as dist

from model.errors import SproutError
from model.whole import gradients_of

MOMENT = 2.0  # seconds in which processes that meet the same error come to it


class LostProcessError(SproutError):
    """Another process of the run no longer answers."""

    of_all_processes = False


@contextlib.contextmanager
def _with_the_others() -> Iterator[None]:
    """Turns the failure of a collective operation, because a process has gone, into a `LostProcessError`."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise lost(error) from error


def lost(error: RuntimeError) -> LostProcessError:
    """The failure of a collective operation in a sentence, to which `ended_by_another` adds how to go on."""
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    reason = reason.rpartition("] ")[2].partition(". ")[0]  # without the place in Gloo's source, and what follows
    return LostProcessError(f"another process of this run has ended or cannot be reached ({reason}): see what it said")


def is_of_another(error: BaseException) -> bool:
    """Whether an error that PyTorch raises in its own collective operations is that of another process's end."""
    return isinstance(error, RuntimeError) and (isinstance(error, dist.DistError) or "gloo" in str(error))


@contextlib.contextmanager
def ended_by_another(run) -> Iterator[None]:
    """Adds to a `LostProcessError` how the `training.engine.run.Run` goes on: there may be nothing to resume yet."""
    try:
        yield
    except LostProcessError as error:
        from training.report.going_on import command_to_go_on

        begun = run.saved_at or run.state.step  # else the file there is that of an earlier run
        saved = run.args.resume or (begun and run.output.resume_file.exists())
        way = f"go on with: {command_to_go_on('--resume')}" if saved else f"begin again with: {command_to_go_on()}"
        raise LostProcessError(f"{error}, and {way}") from error


def start(device: torch.device) -> None:
    if not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        # The default arguments of this module keep a group that is there when the module is imported (torch.optim
        # imports it, by way of torch._dynamo). `stop` could then not end the group, and its threads might abort the
        # process at its exit (torch 2.13, torch/distributed/nn/functional.py; pytorch issue 190489).
        from torch.distributed.nn import functional  # noqa: F401

        on_gpu = device.type == "cuda"  # the device is named, or a barrier would guess it
        dist.init_process_group("nccl" if on_gpu else "gloo", device_id=device if on_gpu else None)


def stop(failed: bool = False) -> None:
    """Leaves the group. failed: the others may wait for this process, and NCCL would wait for them, with the error
    unsaid; the end of the process does it then."""
    if dist.is_available() and dist.is_initialized() and not (failed and dist.get_backend() == "nccl"):
        dist.destroy_process_group()


def barrier() -> None:
    with _with_the_others():
        dist.barrier()


def sum_over_processes(tensor: torch.Tensor) -> torch.Tensor:
    with _with_the_others():
        dist.all_reduce(tensor)
    return tensor


def largest_over_processes(tensor: torch.Tensor) -> torch.Tensor:
    with _with_the_others():
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return tensor


def gathered(value) -> list:
    everybody: list = [None] * dist.get_world_size()
    with _with_the_others():
        dist.all_gather_object(everybody, value)
    return everybody


def of_the_main_process(value):
    """The value that the main process has, in every process."""
    shared = [value]
    with _with_the_others():
        dist.broadcast_object_list(shared)
    return shared[0]


def together(work) -> None:
    """See `training.engine.distributed.together`."""
    error = None
    if dist.get_rank() == 0:
        try:
            work()
        except SproutError as raised:
            error = raised
    if (error := of_the_main_process(error)) is not None:
        error.everywhere = True
        raise error


def is_said_by_the_main_process(words: str) -> bool:
    """Whether the main process fails with the same words, too. Each process that fails calls it.

    They tell each other through the store by which they have met: in a collective operation they could wait for ever,
    since those that do not fail are elsewhere. The store may be gone with its process, so they wait a moment at most.
    """
    found = [dist.get_rank() == 0]

    def ask() -> None:
        store, moment, key = dist.distributed_c10d._get_default_store(), timedelta(seconds=MOMENT), "what has failed"
        with contextlib.suppress(RuntimeError):  # it has not failed, or cannot be asked
            if found[0]:
                store.set(key, words)
                # The store may be its own, and another process may fail for another reason, which it is to say.
                store.wait([f"{key}, read by {rank}" for rank in range(1, dist.get_world_size())], moment)
            else:
                store.wait([key], moment)
                found[0] = store.get(key) == words.encode()
                store.set(f"{key}, read by {dist.get_rank()}", "")

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(MOMENT + 1)
    return found[0]


def sum_gradients(parameters: list[torch.nn.Parameter]) -> None:
    """Sends all gradients in float32 as one message, and those in bfloat16, which are large, one by one."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = gradients_of(parameters)
    for gradient in gradients:
        if gradient.dtype == torch.bfloat16:
            gradient.copy_(sum_over_processes(gradient.float()))
    gradients = [gradient for gradient in gradients if gradient.dtype != torch.bfloat16]
    if not gradients:
        return
    flat = sum_over_processes(torch.cat([gradient.flatten() for gradient in gradients]))
    parts = flat.split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients)])
