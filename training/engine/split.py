"""A float32 number as two halves of 16 bits: a bfloat16 that the network computes with, and what that leaves out.

    high = (bits + 0x8000) >> 16        the bfloat16 next to the number; from half way on, the larger magnitude
    low  = bits - (high << 16)          from -32,768 to 32,767
    bits = (high << 16) + low           exactly, for all 2^32 patterns

`Tensor.to(torch.bfloat16)` will not do for `high`: it rounds half way to the even neighbour, and then `low` may have to
be +32,768, which no int16 can be.

    narrowed(x, t)                      a bfloat16 next to x, so that the mean over thresholds t is x

Rounding to the nearest loses whatever is smaller than half a digit: 1 added to 256 in bfloat16 remains 256, every time.
With thresholds t that are spread evenly, sums are right in the mean instead. They follow from position and round alone
(a Weyl sequence), so that a resumed run, and every process of a run, rounds alike.
"""

import torch
from torch import Tensor

# The fractions of the golden ratio and of the square root of 2, times 2^16, made odd: their multiples, modulo 2^16, are
# spread more evenly than random numbers.
OF_THE_ROUND, OF_THE_PLACE = 40503, 27147


def split(values: Tensor) -> tuple[Tensor, Tensor]:
    """float32 values as (high, low): bfloat16 and int16 of the same shape."""
    bits = values.contiguous().view(torch.int32)
    high = ((bits + 0x8000) >> 16).to(torch.int16).view(torch.bfloat16)
    return high, bits.to(torch.int16)  # modulo 2^16, and so with the right sign


def merge(high: Tensor, low: Tensor) -> Tensor:
    """The float32 values that `split` took apart."""
    bits = high.contiguous().view(torch.int16).to(torch.int32) << 16
    return bits.add_(low).view(torch.float32)


def thresholds(first: int, count: int, round: int, device=None) -> Tensor:
    """int32 [count], from 0 to 65,535: for the places `first`, `first` + 1, ... of a tensor in this round."""
    start = (first * OF_THE_PLACE + round * OF_THE_ROUND) % 2**16
    places = torch.arange(count, dtype=torch.int32, device=device)
    return places.mul_(OF_THE_PLACE).add_(start).bitwise_and_(0xFFFF)


def narrowed(values: Tensor, thresholds: Tensor) -> Tensor:
    """float32 values as bfloat16, rounded up in magnitude where the 16 bits that go exceed 65,535 - threshold."""
    bits = values.contiguous().view(torch.int32) + thresholds
    return (bits >> 16).to(torch.int16).view(torch.bfloat16)
