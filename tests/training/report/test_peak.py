"""The share of the peak: against counted operations, and for no card that is not known."""

from types import SimpleNamespace

import pytest
import torch

from model.config import PRESETS
from tests.training.support import SMALL
from training.report.description import describe_step
from training.report.peak import operations_per_token, peak_of, share_of_peak

TERA = 1e12


@pytest.mark.parametrize(
    "name, peak",
    [
        ("NVIDIA H200", 989),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("NVIDIA GeForce RTX 3090", 71),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA GeForce RTX 5090", 209.5),
        ("Tesla T4", 65),
    ],
)
def test_known_cards(name, peak):
    assert peak_of(name) == peak * TERA


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 3090 Ti",
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        "NVIDIA H100 NVL",
        "NVIDIA L40",
        "Quadro T400",
    ],
)
def test_of_other_cards_nothing_is_said(name):
    assert peak_of(name) is None


# 6 for each of M parameters in matrices, and 6 L d T
@pytest.mark.parametrize("preset, millions", [("26m", 167.5), ("64m", 402), ("104m", 662)])
def test_operations_of_a_token(preset, millions):
    assert operations_per_token(PRESETS[preset], 512) == pytest.approx(millions * 1e6, rel=2e-3)


def test_operations_are_those_of_the_products():
    """Six operations for every parameter of a matrix, counted from a real network's shapes."""
    from model.transformer import Transformer

    matrices = sum(p.numel() for p in Transformer(SMALL).parameters() if p.ndim == 2)  # a tied head is listed once
    attention = 6 * SMALL.num_hidden_layers * SMALL.hidden_size * 16
    assert operations_per_token(SMALL, 16) == 6 * matrices + attention


def test_the_share_is_of_all_cards_and_shown(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    choice = SimpleNamespace(dtype=torch.bfloat16)
    machine = SimpleNamespace(device=torch.device("cuda", 0), choice=choice, world_size=2)
    plan = SimpleNamespace(footprint=SimpleNamespace(config=PRESETS["26m"], row_length=512), row_length=8 * 512)
    speed = 2 * 989 * TERA / operations_per_token(PRESETS["26m"], 512) / 4
    found = share_of_peak(machine, plan, speed)
    assert found == {"time/share_of_peak": pytest.approx(0.25)}
    metrics = {"loss": 2.0, "lr": 1e-3, "time/tokens_per_second": speed, **found}
    assert "tokens/s (25% of the card)" in describe_step(metrics, 2**30)
    choice.dtype = torch.float32
    assert share_of_peak(machine, plan, speed) == {}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA TITAN V")
    choice.dtype = torch.float16
    assert share_of_peak(machine, plan, speed) == {}
