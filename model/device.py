"""Where and in which precision a network computes. Training and use both need this, so it lives beside the network.

Weights stay float32; matrix products run in bfloat16 or float16 under autocast where the device is good at it. float16
has a small range: what could leave it (a residual stream, a gradient) has to be kept in float32 or scaled.
"""

import contextlib
import ctypes
import os
import sys
from dataclasses import dataclass

import torch

from model.errors import UsageError

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
# A process without a network takes, measured, 0.33 to 0.55 GB, or 0.7 to 0.83 where PyTorch has libraries for a GPU.
PROGRAM_ON_CPU = (850 if torch.backends.cuda.is_built() else 500) * 2**20


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
        """The same batch (a dataclass) or tensor, on the device; the copy overlaps with computation."""
        if self.device.type == "cpu":
            return batch
        from model.gpu import copied  # a CPU does not load it

        return copied(batch, self.device)

    def peak_memory(self) -> int:
        """The most bytes used so far: of the GPU's memory, or of this process on a CPU (0 on Windows: unknown)."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        if self.device.type == "mps":
            return torch.mps.driver_allocated_memory()
        if os.name == "nt":
            return 0
        with contextlib.suppress(OSError, StopIteration), open("/proc/self/status", "rb") as status:  # Linux
            return next(int(line.split()[1]) for line in status if line.startswith(b"VmHWM:")) * 1024
        import resource  # not on Windows. On Linux it counts the process that started this one, if that was larger.

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def choose_device(name: str, dtype: str, why: str = "as asked") -> Device:
    """The device called `name` ('auto': the first GPU, else the CPU) with `dtype` ('auto': by capability), and `why`.

    Raises `UsageError` for a device that is not there or a type it does not compute in.
    """
    if name == "cpu" or (name == "auto" and not (torch.cuda.is_available() or torch.backends.mps.is_available())):
        device = torch.device("cpu")
    else:
        from model.gpu import best_dtype, gpu_called  # a CPU does not load it

        device = gpu_called(name)
    best, reason = _cpu_dtype() if device.type == "cpu" else best_dtype(device)
    chosen = best if dtype == "auto" else getattr(torch, dtype)
    if dtype != "auto":
        reason = why
        if chosen == torch.float16 and device.type == "cpu":
            raise UsageError("--dtype float16 is not for a CPU: choose bfloat16 or float32")
    return Device(device, chosen, reason)


def _cpu_dtype() -> tuple[torch.dtype, str]:
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


def reuse_freed_memory() -> None:
    """Makes glibc keep the memory of freed tensors for the next ones; does nothing with another C library.

    By default, glibc returns every large tensor to the system when it is freed, and the system clears each page of
    the next one: that takes an eighth of a training step on a CPU (docs/pretrain.md).
    """
    if sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"):
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, 2**30)  # an older glibc refuses more than 32 MB and changes nothing
    libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
