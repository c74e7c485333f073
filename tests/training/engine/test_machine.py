"""What a run asks of the machine."""

import importlib.util

import pytest
import torch

from training.engine import machine


def test_compiling_is_for_long_runs_where_it_works(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(machine, "_has_compiler", lambda: True)
    assert machine.compiles(cpu, "auto", expected_seconds=3600)[0]
    assert not machine.compiles(cpu, "auto", expected_seconds=60)[0]
    assert machine.compiles(cpu, "on", expected_seconds=1) == (True, "as asked")
    assert machine.compiles(cpu, "off", expected_seconds=1e6) == (False, "as asked")
    monkeypatch.setattr(machine, "_has_compiler", lambda: False)
    assert machine.compiles(cpu, "auto", expected_seconds=3600) == (False, "no C++ compiler")
    monkeypatch.setattr(machine, "_has_triton", lambda: False)
    assert machine.compiles(gpu, "auto", expected_seconds=3600) == (
        False,
        "Triton is not installed, or not for such an old GPU",
    )
    assert machine.compiles(torch.device("mps"), "auto", expected_seconds=3600) == (False, "not on Apple GPUs")


@pytest.mark.parametrize(
    "installed, capability, there", [(True, (7, 5), True), (True, (6, 1), False), (False, (9, 0), False)]
)
def test_triton_is_for_volta_and_newer(monkeypatch, installed, capability, there):
    monkeypatch.setattr(machine, "find_spec", lambda name: importlib.util.find_spec("torch") if installed else None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert machine._has_triton() is there
