"""What a run asks of the machine."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from model.device import choose_device
from model.files.checkpoint import save_checkpoint
from tests.support import random_network
from tests.training.support import SMALL
from training.engine import speed
from training.engine.machine import loaded_code
from training.report.description import amount, duration


def test_compiling_is_for_long_runs_where_it_works(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(speed, "_has_compiler", lambda: True)
    assert speed.compiles(cpu, "auto", seconds=3600)[0]
    assert not speed.compiles(cpu, "auto", seconds=60)[0]
    assert speed.compiles(cpu, "on", seconds=1) == (True, "as --compile says")
    assert speed.compiles(cpu, "off", seconds=1e6) == (False, "as --compile says")
    monkeypatch.setattr(speed, "_has_compiler", lambda: False)
    assert speed.compiles(cpu, "auto", seconds=3600) == (False, "no C++ compiler")
    monkeypatch.setattr(speed, "_has_triton", lambda device: False)
    assert speed.compiles(gpu, "auto", seconds=3600) == (
        False,
        "Triton is not installed, or not for such an old GPU",
    )
    assert speed.compiles(torch.device("mps"), "auto", seconds=3600) == (False, "not on Apple GPUs")


@pytest.mark.parametrize(
    "installed, capability, there", [(True, (7, 5), True), (True, (6, 1), False), (False, (9, 0), False)]
)
def test_triton_is_for_volta_and_newer(monkeypatch, installed, capability, there):
    monkeypatch.setattr(speed, "find_spec", lambda name: importlib.util.find_spec("torch") if installed else None)
    second = torch.device("cuda:1")  # beside a card of another kind
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability if device == second else (0, 0))
    assert speed._has_triton(second) is there


def test_measuring_leaves_no_trace_in_the_run():
    network, plan = random_network(SMALL), SimpleNamespace(batch_size=4, row_length=16)
    state = torch.get_rng_state()
    assert speed.micro_batch_seconds(network, plan, choose_device("cpu", "float32")) > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_resumed_run_compiles_as_before(tmp_path):
    """The time is measured anew and may fall on the other side of the limit."""
    path = tmp_path / "a_resume.pth"
    assert speed.compiled_before(path) is None
    save_checkpoint(path, {"identity": {"compile": True}})
    assert speed.compiled_before(path) is True


def test_numbers_have_the_unit_that_fits():
    assert [duration(each) for each in (0.1, 89, 100, 7000)] == ["1 s", "89 s", "2 min", "1.9 h"]
    assert [amount(each) for each in (1522, 484_416, 12 * 10**9)] == ["1,522", "0.48 M", "12.00 B"]


def test_the_code_of_a_run_is_what_it_has_loaded_of_this_checkout(monkeypatch):
    """Not torch, and no module whose file is gone. A script is found however it was called."""
    gone = SimpleNamespace(__file__=str(Path(speed.__file__).with_name("gone.py")))
    monkeypatch.setitem(sys.modules, "gone", gone)
    script = Path(speed.__file__).parents[1] / "stages" / ".." / ".." / "train_pretrain.py"
    monkeypatch.setitem(sys.modules, "called", SimpleNamespace(__file__=str(script)))
    found = loaded_code()
    content = Path(speed.__file__).read_bytes()
    assert found["training/engine/speed.py"] == hashlib.blake2b(content, digest_size=8).hexdigest()
    assert not [name for name in found if "torch/" in name or "gone" in name]
    assert "train_pretrain.py" in found and not [name for name in found if ".." in name]
