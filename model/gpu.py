"""Which GPU a name means, the precision that it is good at, and copies to it; a run on a CPU does not load this."""

import dataclasses
import os

import torch

from model.errors import UsageError


def gpu_called(name: str) -> torch.device:
    """The GPU that `name` means; 'auto': the first one, or that of this process of torchrun.

    Raises `UsageError` for a device that is not there, or that several processes cannot share.
    """
    if name == "auto":
        device = torch.device("mps") if not torch.cuda.is_available() else _gpu_of_this_process()
    else:
        device = _named(name)
    _check_processes(device, name)
    return device


def _gpu_of_this_process() -> torch.device:
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def _named(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device {name} is not a device: choose auto, cpu, cuda, cuda:1 or mps") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UsageError(f"--device {name}: this torch sees no CUDA GPU; use --device cpu, or install a CUDA build")
        if (device.index or 0) >= torch.cuda.device_count():
            raise UsageError(f"--device {name}: there are only {torch.cuda.device_count()} GPUs")
        return device if device.index is not None else _gpu_of_this_process()
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: this torch sees no Apple GPU; use --device cpu")
    if device.type not in ("cpu", "mps"):
        raise UsageError(f"--device {name} is not supported: choose auto, cpu, cuda, cuda:1 or mps")
    return device


def _check_processes(device: torch.device, name: str) -> None:
    """Refuses several processes of torchrun where they cannot each have a device."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return
    if device.type == "mps":
        raise UsageError("torchrun cannot share one Apple GPU: start without it, or with --device cpu")
    if device.type == "cuda" and name not in ("auto", "cuda"):
        raise UsageError(f"--device {name} would put every process of torchrun on one GPU: use --device cuda")
    if device.type == "cuda" and device.index >= torch.cuda.device_count():
        raise UsageError(f"there are more processes than GPUs: torchrun --nproc_per_node {torch.cuda.device_count()}")


def best_dtype(device: torch.device) -> tuple[torch.dtype, str]:
    """The type of matrix products, and why.

    `torch.cuda.is_bf16_supported` is not asked: it says yes on older GPUs too, which only emulate bfloat16.
    """
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device)[0] >= 8:
            return torch.bfloat16, "bfloat16 tensor cores"
        return torch.float16, "a GPU older than Ampere has no bfloat16"
    from model.apple import bfloat16_is_sound  # other devices do not load it

    if bfloat16_is_sound(device):
        return torch.bfloat16, "this Apple GPU computes soundly in bfloat16"
    return torch.float32, "this Apple GPU or its macOS does not compute soundly in bfloat16"


def attend_to_any_length() -> None:
    """Leaves cuDNN's attention out, for a process that meets a new length again and again: PyTorch prefers it on Hopper
    and later, and it plans for some 50 ms at each (H200, torch 2.11). Training has one length."""
    torch.backends.cuda.enable_cudnn_sdp(False)


def copied(batch, device: torch.device):
    """The same batch (a dataclass) or tensor, on the device; the copy overlaps with computation."""
    if isinstance(batch, torch.Tensor):
        return _copied(batch, device)
    values = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    tensors = {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}
    return dataclasses.replace(batch, **{name: _copied(tensor, device) for name, tensor in tensors.items()})


def _copied(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type == "cuda")
