"""A float32 number in two halves: every pattern comes back, and sums of bfloat16 are right in the mean."""

import pytest
import torch

from training.engine.split import merge, narrowed, split, thresholds

MANTISSAS = (0, 1, 2, 0x3F, 0x7E, 0x7F)  # upper bits: even and odd, first and last before the next exponent


def patterns(sign: int, exponent: int, mantissa: int) -> torch.Tensor:
    """The bits of all 65,536 numbers with these upper bits, int32."""
    bits = (sign << 31 | exponent << 23 | mantissa << 16) + torch.arange(2**16)
    return torch.where(bits >= 2**31, bits - 2**32, bits).to(torch.int32)


@pytest.mark.parametrize("sign", [0, 1])
def test_every_pattern_comes_back(sign):
    for exponent in range(256):  # 0: subnormal numbers; 255: infinity, and what is not a number
        bits = torch.cat([patterns(sign, exponent, mantissa) for mantissa in MANTISSAS])
        high, low = split(bits.view(torch.float32))
        assert high.dtype == torch.bfloat16 and low.dtype == torch.int16
        assert torch.equal(merge(high, low).view(torch.int32), bits)


def test_the_upper_half_is_next_to_the_number():
    values = torch.cat([patterns(sign, 120, mantissa) for sign in (0, 1) for mantissa in MANTISSAS]).view(torch.float32)
    high = split(values)[0].double()
    below = (values.view(torch.int32) >> 16 << 16).view(torch.float32).double()
    above = torch.where(values == below, below, below + values.double().sign() * 2.0 ** (120 - 127 - 7))
    assert torch.equal((high - values).abs(), torch.minimum((below - values).abs(), (above - values).abs()))


def test_rounding_half_way_to_even_would_not_come_back():
    bits = patterns(0, 127, 2)  # its upper half is even
    even = bits.view(torch.float32).to(torch.bfloat16)
    low = (bits - (even.view(torch.int16).to(torch.int32) << 16)).to(torch.int16)
    wrong = merge(even, low).view(torch.int32) != bits
    assert wrong.nonzero().flatten().tolist() == [0x8000]  # one in 65,536


def test_a_sum_of_many_small_numbers_is_right_in_the_mean():
    numbers, count = 4096, 1000
    total = torch.zeros(numbers, dtype=torch.bfloat16)
    nearest = total.clone()
    for round in range(count):
        total = narrowed(total.float() - 0.7, thresholds(0, numbers, round))
        nearest -= 0.7
    assert nearest.float().mean() == -256  # it stands still where 0.7 is less than half a digit
    errors = total.double() / (-0.7 * count) - 1
    assert abs(errors.mean()) < 1e-3 and errors.square().mean().sqrt() < 0.02


def test_thresholds_depend_on_the_place_and_not_on_the_piece():
    whole = thresholds(0, 100_000, 7)
    assert torch.equal(whole[60_000:], thresholds(60_000, 40_000, 7))
    assert whole.min() >= 0 and whole.max() < 2**16
    assert torch.histc(whole.float(), 10, 0, 2**16).sub(10_000).abs().max() < 100
    assert not torch.equal(whole, thresholds(0, 100_000, 8))
