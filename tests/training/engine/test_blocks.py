"""Moments in 8 bits: how near they are, that they are right in the mean, that v can fall and never is 0 by mistake."""

import pytest
import torch

from training.engine.blocks import BLOCK, decode_m, decode_v, encode_m, encode_v, scales_of
from training.engine.split import thresholds


def chances(numbers: int, round: int = 0) -> torch.Tensor:
    return thresholds(0, numbers, round) / 2**16


def samples(numbers: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(numbers, generator=generator) * 1e-4


@pytest.mark.parametrize("numbers", [BLOCK, 5 * BLOCK, 3 * BLOCK + 17, 5])
def test_codes_are_near(numbers):
    m = samples(numbers)
    codes, scales = encode_m(m, chances(numbers))
    assert codes.dtype == torch.int8 and scales.dtype == torch.float32 and len(scales) == scales_of(numbers)
    found, largest = decode_m(codes, scales), scales.repeat_interleave(BLOCK)[:numbers]
    # Two codes around x = scale y are less than (2 sqrt(y) 127 + 1) scale / 127^2 apart.
    assert ((found - m).abs() <= largest * (2 * (m.abs() / largest).sqrt() * 127 + 1) / 127**2).all()
    v = m.square()
    found = decode_v(*encode_v(v, chances(numbers)))
    root, widest = found.sqrt(), largest  # of v the scale is the square of that of m
    assert ((root - m.abs()).abs() <= widest * (2 * (m.abs() / widest).sqrt() * 255 + 1) / 255**2 * 1.001).all()


def test_they_are_right_in_the_mean():
    m, rounds = samples(64 * BLOCK), 256
    v = m.square()
    mean_m = sum(decode_m(*encode_m(m, chances(len(m), r))).double() for r in range(rounds)) / rounds
    mean_v = sum(decode_v(*encode_v(v, chances(len(m), r))).double() for r in range(rounds)) / rounds
    assert (mean_m - m).norm() < 1e-3 * m.norm() and (mean_v - v).norm() < 1e-3 * v.norm()
    once = decode_m(*encode_m(m, chances(len(m)))).double()
    assert (once - m).norm() > 5e-3 * m.norm()  # so the mean had something to do


def test_v_is_0_only_where_it_was():
    v = torch.tensor([1.0, 1e-12, 1e-30, 0.0] * (BLOCK // 4))
    for round in range(20):
        found = decode_v(*encode_v(v, chances(BLOCK, round)))
        assert torch.equal(found == 0, v == 0)


def test_zeros_stay_zeros():
    for encode, decode in ((encode_m, decode_m), (encode_v, decode_v)):
        found = decode(*encode(torch.zeros(300), chances(300)))
        assert torch.equal(found, torch.zeros(300))


@pytest.mark.parametrize("beta2, steps", [(0.95, 60), (0.999, 2000)])
def test_v_falls_when_gradients_end(beta2, steps):
    """A code that is always rounded up would stay where it is for ever."""
    keeps = torch.ones(BLOCK)  # something large in each block: the others must fall by their own codes
    keeps[1:] = 0.3
    codes, scales = encode_v(keeps, chances(BLOCK))
    for step in range(steps):
        v = decode_v(codes, scales) * beta2
        v[0] = 1.0
        codes, scales = encode_v(v, chances(BLOCK, step))
    expected = 0.3 * beta2**steps
    assert decode_v(codes, scales)[1:].mean() == pytest.approx(expected, rel=0.15)
