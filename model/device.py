"""Where and in which precision a network computes. Training and use both need this, so it lives beside the network.

Weights stay float32; matrix products run in bfloat16 or float16 under autocast where the device is good at it. float16
has a small range: what could leave it (a residual stream, a gradient) has to be kept in float32 or scaled.
"""

import contextlib
import dataclasses
import os
import sys
from dataclasses import dataclass

import torch

from model.errors import UsageError


@dataclass(frozen=True)
class Device:
    """The device and the type of its matrix products, with the reason for the choice."""

    device: torch.device
    dtype: torch.dtype
    reason: str

    def autocast(self):
        """Context in which matrix products run in `dtype`."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def move(self, batch):
        """The same batch (a dataclass) with its tensors on the device; the copy overlaps with computation."""
        if self.device.type == "cpu":
            return batch
        tensors = {
            field.name: self._copy(getattr(batch, field.name))
            for field in dataclasses.fields(batch)
            if isinstance(getattr(batch, field.name), torch.Tensor)
        }
        return dataclasses.replace(batch, **tensors)

    def _copy(self, tensor):
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def peak_memory(self) -> int:
        """The most bytes used so far: of the GPU's memory, or of this process on a CPU (0 on Windows: unknown)."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        if self.device.type == "mps":
            return torch.mps.driver_allocated_memory()
        if os.name == "nt":
            return 0
        import resource  # not on Windows

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def choose_device(name: str, dtype: str) -> Device:
    """The device called `name` ('auto': the first GPU, else the CPU) with `dtype` ('auto': by capability).

    Raises `UsageError` for a device that is not there or a type it does not compute in.
    """
    device = torch.device(_best_device()) if name == "auto" else _named_device(name)
    _check_processes(device, name)
    best, reason = _best_dtype(device)
    chosen = best if dtype == "auto" else getattr(torch, dtype)
    if dtype != "auto":
        reason = "as asked"
        if chosen == torch.float16 and device.type == "cpu":
            raise UsageError("--dtype float16 is not for a CPU: choose bfloat16 or float32")
    return Device(device, chosen, reason)


def _best_device() -> str:
    if torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _named_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device {name} is not a device: auto, cpu, cuda, cuda:1 or mps") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UsageError(f"--device {name}: this torch sees no CUDA GPU; use --device cpu, or install a CUDA build")
        if (device.index or 0) >= torch.cuda.device_count():
            raise UsageError(f"--device {name}: there are only {torch.cuda.device_count()} GPUs")
        return device if device.index is not None else torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: this torch sees no Apple GPU; use --device cpu")
    if device.type not in ("cpu", "mps"):
        raise UsageError(f"--device {name} is not supported: auto, cpu, cuda, cuda:1 or mps")
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


def _best_dtype(device: torch.device) -> tuple[torch.dtype, str]:
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device)[0] >= 8:
            return torch.bfloat16, "bfloat16 tensor cores"
        return torch.float16, "a GPU older than Ampere has no bfloat16"
    if device.type == "mps":
        from model.apple import bfloat16_is_sound  # other devices do not load it

        if bfloat16_is_sound(device):
            return torch.bfloat16, "this Apple GPU computes soundly in bfloat16"
        return torch.float32, "this Apple GPU or its macOS does not compute soundly in bfloat16"
    features = _cpu_features()
    for feature, label in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512-BF16")):
        if features.get(feature):
            return torch.bfloat16, f"the CPU has {label}"
    return torch.float32, "the CPU has no bfloat16 instructions"


def _cpu_features() -> dict[str, bool]:
    if hasattr(torch.cpu, "get_capabilities"):
        return torch.cpu.get_capabilities()
    # Older versions of torch know them under private names.
    names = {"amx_bf16": "_is_amx_tile_supported", "avx512_bf16": "_is_avx512_bf16_supported"}
    return {feature: hasattr(torch.cpu, name) and getattr(torch.cpu, name)() for feature, name in names.items()}
