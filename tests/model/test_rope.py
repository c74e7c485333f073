"""Rotary embedding and how it is stretched: to the last bit those of `transformers`, and the geometry they promise."""

import math
import os

import pytest
import torch

from model.attention import inverse_frequencies, rotary_tables, rotate
from model.config import TransformerConfig
from model.errors import UsageError
from model.transformer import Transformer
from training.stages.changes import with_rope_factor

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers")
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding  # noqa: E402

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


@pytest.mark.parametrize("head_dim", [6, 64, 128])
@pytest.mark.parametrize("theta", [1e4, 1e6])
@pytest.mark.parametrize(
    "scaling",
    [
        None,
        {"factor": 4.0, "original_max_position_embeddings": 2048},
        {"factor": 8.0},
        {"factor": 1.0, "original_max_position_embeddings": 4096},
        {"factor": 2.5, "original_max_position_embeddings": 512, "beta_fast": 16.0, "beta_slow": 2.0},
        {"factor": 40.0, "original_max_position_embeddings": 4096, "attention_factor": 1.25},
        {"factor": 4.0, "original_max_position_embeddings": 5},  # shorter than one turn: a ramp without a slope
        {"rope_type": "linear", "factor": 3.0},
        LLAMA3 | {"original_max_position_embeddings": 8192},
        LLAMA3 | {"factor": 32.0, "low_freq_factor": 2.5, "original_max_position_embeddings": 300},
    ],
)
def test_frequencies_are_bit_for_bit_those_of_transformers(head_dim, theta, scaling):
    if scaling is not None:
        scaling = {"rope_type": "yarn"} | scaling
    config = transformers.LlamaConfig(
        hidden_size=head_dim * 4,
        num_attention_heads=4,
        max_position_embeddings=8192,
        rope_parameters={"rope_theta": theta} | (scaling or {"rope_type": "default"}),
    )
    theirs = LlamaRotaryEmbedding(config)
    frequencies, factor = inverse_frequencies(head_dim, theta, scaling, max_positions=8192)
    assert torch.equal(frequencies, theirs.inv_freq)
    assert factor == theirs.attention_scaling

    positions = torch.tensor([[0, 1, 8191, 32767, 131071]])
    cosine, sine = rotary_tables(positions, frequencies, factor)
    their_cosine, their_sine = theirs(torch.zeros(1), positions)
    assert torch.equal(cosine[:, 0], their_cosine) and torch.equal(sine[:, 0], their_sine)


def test_yarn_keeps_fast_pairs_and_slows_slow_ones_by_the_factor():
    plain, _ = inverse_frequencies(128, 1e4, None, 4096)
    stretched, sharper = inverse_frequencies(128, 1e4, {"factor": 8.0}, 4096)
    ratio = plain / stretched
    assert ratio[0] == 1
    assert ratio[-1] == 8
    assert (ratio.diff() >= 0).all()
    assert sharper == pytest.approx(0.1 * math.log(8) + 1)


@pytest.mark.parametrize("scaling", [None, {"rope_type": "yarn", "factor": 4.0, "beta_fast": 16.0}])
def test_yarn_on_yarn_multiplies_the_factors_over_the_original_length(scaling):
    config = TransformerConfig(max_position_embeddings=4096, rope_scaling=scaling)
    stretched = with_rope_factor(with_rope_factor(config, 2), 3)
    factor = 6 * (4 if scaling else 1)
    assert stretched == with_rope_factor(config, 6)
    assert stretched.rope_scaling == (scaling or {"rope_type": "yarn"}) | {
        "factor": factor,
        "original_max_position_embeddings": 4096,
    }
    assert stretched.max_position_embeddings == 4096 * factor
    with pytest.raises(UsageError, match="attention_factor"):
        with_rope_factor(config.replace(rope_scaling=stretched.rope_scaling | {"attention_factor": 1.2}), 2)


def test_positions_stretched_in_another_way_are_not_stretched_by_yarn():
    with pytest.raises(UsageError, match="stretched already, by linear"):
        with_rope_factor(TransformerConfig(rope_scaling={"rope_type": "linear", "factor": 2.0}), 2)


def test_a_factor_that_is_not_binary_loses_no_position():
    stretched = with_rope_factor(TransformerConfig(max_position_embeddings=100), 1.15)
    assert stretched.max_position_embeddings == 115  # 100 * 1.15 is 114.99999999999999


def test_a_product_depends_on_the_distance_alone_and_lengths_stay():
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 1, 1, 1, 64, generator=generator)
    frequencies, factor = inverse_frequencies(64, 1e4, None, 4096)

    def turned(x, position):
        return rotate(x, *rotary_tables(torch.tensor([[position]]), frequencies, factor))

    products = [(turned(query, start + 5) * turned(key, start)).sum() for start in (0, 1, 100, 1000)]
    torch.testing.assert_close(torch.stack(products), products[0].expand(4), rtol=0, atol=1e-3)
    assert turned(query, 777).norm() == pytest.approx(query.norm().item(), rel=1e-5)
    assert torch.equal(turned(query, 0), query)


def test_casting_the_network_leaves_the_frequencies_exact():
    network = Transformer(TransformerConfig(vocab_size=8, hidden_size=64, num_hidden_layers=1))
    before = network.rotary_frequencies.clone()
    for cast in (network.bfloat16, network.half, network.double, network.float):
        cast()
        assert network.rotary_frequencies.dtype == torch.float32
        assert torch.equal(network.rotary_frequencies, before)
    assert "rotary_frequencies" not in network.state_dict()
