"""What a compact run is said to take, against the bytes of all its tensors; and what --fit makes of 12 GB."""

from types import SimpleNamespace

import pytest
import torch

from model.config import PRESETS, TransformerConfig
from model.device import Device
from model.errors import UsageError
from scripts.benchmark.scale.steps import bytes_of_steps
from tests.support import random_network
from tests.training.support import SMALL, flags
from training.engine.fitting import fitted
from training.engine.memory import Footprint
from training.engine.memory_of_compact import possibly_compact
from training.engine.memory_on_cuda import WORKSPACE, CudaFootprint
from training.losses.next_token import next_token_loss

GB = 2**30
ONE_BILLION = PRESETS["1b"]
# Of the proportions of the preset 1b: a large vocabulary, and an MLP five times as wide as the rest.
CONFIG = TransformerConfig(
    vocab_size=8192,
    hidden_size=128,
    intermediate_size=608,
    num_hidden_layers=12,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
)


def loss_of(model, tokens):
    return next_token_loss(model.features(tokens), model.lm_head.weight, tokens), tokens.numel()


@pytest.mark.parametrize("optimizer, lora", [("adamw", 0), ("muon", 0), ("adamw", 8)])
def test_it_takes_what_is_said(optimizer, lora):
    batches = [torch.randint(3, 8192, (1, 64), generator=torch.Generator().manual_seed(i)) for i in range(2)]
    found = bytes_of_steps(lambda: random_network(CONFIG), loss_of, batches, optimizer, True, True, lora)
    learns = CONFIG.num_parameters()
    if lora:
        d, f, kv = CONFIG.hidden_size, CONFIG.intermediate_size, 64
        learns = CONFIG.num_hidden_layers * lora * (2 * 2 * d + 2 * (d + kv) + 3 * (d + f))
    said = Footprint(CONFIG, 64, optimizer, learns, 2, True, compact=True, adapters=bool(lora)).total(1, True)
    assert said == pytest.approx(found, rel=0.1)


def footprint(kind=Footprint, **more):
    return kind(ONE_BILLION, 1024, "muon", ONE_BILLION.num_parameters(), 2, **{"compact": None} | more)


def test_a_billion_parameters_fit_into_12_gb():
    card = footprint(CudaFootprint, program=WORKSPACE)
    reasons = {"batch": "as asked"}
    rows, times, checkpointing, found = fitted(card, flags("--fit", "12"), 16, 4, reasons)
    exact = card.total(1, True) / GB
    assert (
        reasons["compact"] == f": with exact optimizers a row takes about {exact:.2f} GB, of which --fit 12 leaves 9.60"
    )
    assert found.compact and checkpointing and rows * times == 64 and rows >= 2
    assert found.total(rows, checkpointing) < 0.8 * 12 * GB < card.total(1, True)
    parts = found.parts(rows, checkpointing)
    static = sum(parts[name] for name in ("weights", "lower halves", "gradients", "optimizer"))
    assert static == pytest.approx(8 * ONE_BILLION.num_parameters(), rel=0.02)


def test_the_exact_optimizers_come_first():
    reasons = {"batch": "as asked"}
    assert not fitted(footprint(), flags("--fit", "40"), 4, 1, reasons)[3].compact
    assert reasons == {"batch": "as asked; micro-batch as --fit 40 allows"}
    nearly = 1.1 * footprint().total(1, True) / GB  # a fifth is kept free
    assert fitted(footprint(), flags("--fit", f"{nearly:.2f}"), 4, 1, reasons)[3].compact
    reasons = {"batch": "as asked"}
    with pytest.raises(UsageError, match="--fit 12: one row takes"):
        fitted(footprint(compact=False), flags("--fit", "12"), 4, 1, reasons)


@pytest.mark.parametrize(
    "asked, dtype, found",
    [
        (None, torch.bfloat16, None),  # --fit may choose
        ("exact", torch.bfloat16, False),
        ("compact", torch.bfloat16, True),
        (None, torch.float16, False),
        (None, torch.float32, False),
    ],
)
def test_fit_chooses_only_where_it_may(asked, dtype, found):
    args = SimpleNamespace(optimizer_memory=asked, offload_states=False)
    choice = Device(torch.device("cpu"), dtype, "")
    assert possibly_compact(footprint(), random_network(SMALL), args, choice).compact is found


def test_offloaded_states_are_not_on_the_card():
    here, there = (footprint(CudaFootprint, compact=True, offload=offload).parts(1, True) for offload in (False, True))
    assert here["lower halves"] + here["optimizer"] > 3.7 * GB
    assert there["lower halves"] == there["optimizer"] == 0 and there["weights"] == here["weights"]
