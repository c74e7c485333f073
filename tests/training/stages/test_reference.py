"""The time of a run whose steps also ask a reference."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model.lora import Lora, add_lora
from model.transformer import Transformer
from tests.training.support import SMALL
from training.stages.reference import with_passes


@pytest.mark.parametrize("lora", [False, True])
def test_a_pass_of_the_reference_takes_its_share_of_learning(lora):
    """In operations, which decide the time where networks are large."""
    network = Transformer(SMALL.replace(hidden_size=64, intermediate_size=192, head_dim=16))
    if lora:
        add_lora(network, Lora(rank=1, alpha=2.0))
    tokens = torch.arange(3, 19)[None].repeat(4, 1)
    with FlopCounterMode(display=False) as reading, torch.no_grad():
        network(tokens)
    with FlopCounterMode(display=False) as learning:
        network(tokens).sum().backward()
    share = reading.get_total_flops() / learning.get_total_flops()
    assert with_passes(60.0, network, 1) == pytest.approx(60 * (1 + share), rel=0.03)
    assert with_passes(60.0, network, 0) == 60 and with_passes(None, network, 1) is None
