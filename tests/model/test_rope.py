"""Rotary embedding and how it is stretched: to the last bit those of `transformers`, and the geometry they promise."""

import math
import os

import pytest
import torch

from model.attention import inverse_frequencies, rotary_tables, rotate
from model.config import TransformerConfig
from model.errors import UsageError
from model.rope_scaling import MOST_POSITIONS, extended, in_words
from model.transformer import Transformer

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
    stretched, sharper = inverse_frequencies(128, 1e4, {"rope_type": "yarn", "factor": 8.0}, 4096)
    ratio = plain / stretched
    assert ratio[0] == 1
    assert ratio[-1] == 8
    assert (ratio.diff() >= 0).all()
    assert sharper == pytest.approx(0.1 * math.log(8) + 1)


def yarn_in_float64(head_dim: int, theta: float, factor: float, original: int) -> list[float]:
    """The angle per position of every pair: NTK by parts, equations 17 to 23 of YaRN, with its ramp over the pairs."""

    def pair(turns: float) -> float:  # a pair turns once in 2 pi theta^(2 pair / head_dim) positions
        return head_dim / 2 * math.log(original / (2 * math.pi * turns), theta)

    low, high = max(math.floor(pair(32)), 0), min(math.ceil(pair(1)), head_dim - 1)
    found = []
    for index in range(head_dim // 2):
        slowed = min(max((index - low) / (high - low), 0), 1)  # 0: turns as before, 1: `factor` times slower
        found.append(theta ** (-2 * index / head_dim) * (1 - slowed + slowed / factor))
    return found


@pytest.mark.parametrize("head_dim, theta, original", [(64, 1e6, 512), (64, 1e4, 2048), (32, 1e6, 256)])
@pytest.mark.parametrize("factor", [2.0, 4.0, 16.0])
def test_yarn_is_its_formula_in_float64(head_dim, theta, original, factor):
    scaling = {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}
    frequencies, sharper = inverse_frequencies(head_dim, theta, scaling, max_positions=32768)
    formula = torch.tensor(yarn_in_float64(head_dim, theta, factor, original), dtype=torch.float64)
    torch.testing.assert_close(frequencies.double(), formula, rtol=1e-6, atol=0)
    assert sharper == pytest.approx(0.1 * math.log(factor) + 1, rel=1e-15)


def small(**changes) -> Transformer:
    sizes = {"vocab_size": 16, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    return Transformer(TransformerConfig(**sizes, **changes))


def test_an_extended_network_has_the_same_weights_and_says_what_it_was():
    network = small()
    longer = extended(network, 4, 512, "a.pth")
    assert longer.config.rope_scaling == {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 512}
    assert longer.config.max_position_embeddings == 2048
    assert all(map(torch.equal, longer.parameters(), network.parameters()))
    assert in_words(longer.config) == "extended by YaRN from 512 to 2,048 positions"
    assert extended(network, 1.15, 100, "a.pth").config.max_position_embeddings == 115  # not 114.99999999999999


@pytest.mark.parametrize("factor", [1, 0.5])
def test_a_factor_that_extends_nothing_is_refused(factor):
    with pytest.raises(UsageError, match=f"--rope_scaling_factor {factor} extends nothing"):
        extended(small(), factor, 512, "a.pth")


def test_a_network_is_extended_only_as_far_as_angles_tell_positions_apart():
    longest = extended(small(), MOST_POSITIONS / 512, 512, "a.pth")
    positions = torch.arange(MOST_POSITIONS - 1, MOST_POSITIONS + 2)[None]
    cosine, _ = rotary_tables(positions, longest.rotary_frequencies, longest.rotary_factor)
    before, last, beyond = cosine[0, 0]
    assert not torch.equal(before, last) and torch.equal(last, beyond)
    for factor in (MOST_POSITIONS / 511, 1e30):
        with pytest.raises(UsageError, match="512 positions more than the 16,777,216 that angles .* give less"):
            extended(small(), factor, 512, "a.pth")


@pytest.mark.parametrize("kind", ["yarn", "linear"])
def test_a_network_that_is_extended_already_is_refused(kind):
    network = small(rope_scaling={"rope_type": kind, "factor": 2.0}, max_position_embeddings=1024)
    with pytest.raises(UsageError, match=f"a.pth is extended already, by {kind} and factor 2 to 1024 positions"):
        extended(network, 2, 512, "a.pth")


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
