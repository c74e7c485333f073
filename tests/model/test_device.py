"""Which device and precision are chosen, on machines that are only pretended."""

import os
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from dataset.rows.rows import Batch
from model.device import Device, choose_device
from model.errors import UsageError


@dataclass(frozen=True)
class Machine:
    gpus: int = 0
    capability: tuple[int, int] = (8, 0)
    apple: bool = False
    apple_bfloat16: bool = True
    cpu: tuple[str, ...] = ()


@pytest.fixture
def pretend(monkeypatch):
    def apply(machine: Machine):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: machine.gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: machine.gpus)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: machine.capability)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *asked: True)  # as torch says of a T4, too
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: machine.apple)
        monkeypatch.setattr("model.apple.bfloat16_is_sound", lambda device: machine.apple_bfloat16)
        # torch 2.8 has no such function.
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(machine.cpu, True), raising=False)
        monkeypatch.delenv("LOCAL_RANK", raising=False)

    return apply


@pytest.mark.parametrize(
    "machine, device, dtype",
    [
        (Machine(gpus=1, capability=(9, 0)), "cuda:0", torch.bfloat16),  # H100
        (Machine(gpus=1, capability=(8, 6)), "cuda:0", torch.bfloat16),  # 3090
        (Machine(gpus=1, capability=(7, 5)), "cuda:0", torch.float16),  # T4
        (Machine(gpus=1, capability=(7, 0)), "cuda:0", torch.float16),  # V100
        (Machine(apple=True), "mps", torch.bfloat16),
        (Machine(apple=True, apple_bfloat16=False), "mps", torch.float32),
        (Machine(cpu=("avx2", "avx512_bf16")), "cpu", torch.bfloat16),
        (Machine(cpu=("amx_bf16",)), "cpu", torch.bfloat16),
        (Machine(cpu=("avx2", "avx512_f")), "cpu", torch.float32),
    ],
)
def test_auto_takes_the_best_there_is(pretend, machine, device, dtype):
    pretend(machine)
    choice = choose_device("auto", "auto")
    assert (str(choice.device), choice.dtype) == (device, dtype)
    assert choice.reason


def test_what_is_asked_is_taken(pretend):
    pretend(Machine(gpus=2))
    assert str(choose_device("cuda:1", "auto").device) == "cuda:1"
    choice = choose_device("cpu", "float32")
    assert (str(choice.device), choice.dtype, choice.reason) == ("cpu", torch.float32, "as asked")
    assert choose_device("cuda", "float16").dtype == torch.float16
    assert str(choose_device("cpu:0", "auto").device) == "cpu:0"


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_every_process_of_torchrun_has_its_own_gpu(pretend, monkeypatch, name):
    pretend(Machine(gpus=4))
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert str(choose_device(name, "auto").device) == "cuda:3"


@pytest.mark.parametrize(
    "machine, name, dtype, named",
    [
        (Machine(), "cuda", "auto", "no CUDA GPU"),
        (Machine(gpus=2), "cuda:2", "auto", "only 2 GPUs"),
        (Machine(), "mps", "auto", "no Apple GPU"),
        (Machine(), "gpu", "auto", "--device gpu is not a device"),
        (Machine(), "meta", "auto", "--device meta is not supported"),
        (Machine(), "cpu", "float16", "float16 is not for a CPU"),
    ],
)
def test_what_is_not_there_is_refused(pretend, machine, name, dtype, named):
    pretend(machine)
    with pytest.raises(UsageError, match=named):
        choose_device(name, dtype)


def test_float32_means_float32(pretend):
    pretend(Machine(gpus=1))
    choose_device("cuda", "float32")
    assert not torch.backends.cuda.matmul.allow_tf32
    with choose_device("cpu", "float32").autocast():
        assert not torch.is_autocast_enabled("cpu")
    with choose_device("cpu", "bfloat16").autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_a_batch_moves_with_everything_in_it():
    batch = Batch(torch.ones(2, 3), torch.zeros(2, 3), None, 5)
    moved = Device(torch.device("meta"), torch.float32, "").move(batch)
    assert (moved.tokens.device.type, moved.targets.device.type) == ("meta", "meta")
    assert (moved.positions, moved.trained) == (None, 5)
    assert Device(torch.device("cpu"), torch.float32, "").move(batch) is batch


def test_peak_memory_of_this_process_is_plausible():
    peak = choose_device("cpu", "float32").peak_memory()
    assert 50e6 < peak < 100e9  # torch alone takes more than 50 MB


@pytest.mark.skipif(os.name == "nt", reason="no getrusage on Windows")
def test_the_memory_of_the_program_that_started_this_one_does_not_count(monkeypatch):
    """On Linux `ru_maxrss` is that of the larger one; where there is nothing else, it is taken."""
    import resource

    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=10**10))
    if sys.platform == "linux":
        assert 50e6 < choose_device("cpu", "float32").peak_memory() < 100e9

    def hidden(*words):
        raise FileNotFoundError

    monkeypatch.setattr("model.device.open", hidden, raising=False)
    assert choose_device("cpu", "float32").peak_memory() in (10**10, 1024 * 10**10)
