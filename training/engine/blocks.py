"""Moments of AdamW in 8 bits a number, by blocks of 128 numbers with one float32 scale: 2.06 bytes for both.

    m = scale (code / 127)^2, with the sign of the code        int8
    v = scale (code / 255)^4                                   uint8: sqrt(v) as m, so that it reaches as far down

scale is the largest magnitude of the block. The squares (companding) space the codes so that small numbers keep their
digits: next to a hundredth of the largest m they are 16 % apart, where 127 even steps would be 79 % apart. Blocks of
128 divide the rows of the usual widths, and a row (what one neuron, or one token, has learned) has a size of its own.

What lies between two codes goes to one of them, so that the mean is right: see `training/engine/split.py`. v must not
be rounded up always: AdamW takes 5 % off a v whose gradients have ended (0.1 % where beta2 is 0.999), which is less
than the distance of two codes, so v would never fall. Only a v between 0 and the lowest code is always rounded up,
since a denominator of 0 under a gradient that is not 0 would be an explosion.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 128
M, V = (2, 127), (4, 255)  # exponent, largest code


def scales_of(numbers: int) -> int:
    """How many scales a tensor of so many numbers has."""
    return -(-numbers // BLOCK)


def encode_m(values: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
    """m, float32 [n], as int8 codes [n] and float32 scales [ceil(n / 128)]. chances: float32 [n] in [0, 1)."""
    codes, scales = _encode(values.abs(), *M, chances)
    return torch.copysign(codes, values, out=codes).to(torch.int8), scales


def decode_m(codes: Tensor, scales: Tensor) -> Tensor:
    """The float32 values of `encode_m`."""
    values = codes.float()
    return _times(values.mul_(values.abs()), scales / M[1] ** M[0])


def encode_v(values: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
    """v, float32 [n] and not negative, as uint8 codes [n] and float32 scales [ceil(n / 128)]; 0 only where v is 0."""
    codes, scales = _encode(values, *V, chances)
    return torch.maximum(codes, values.sign(), out=codes).to(torch.uint8), scales


def decode_v(codes: Tensor, scales: Tensor) -> Tensor:
    """The float32 values of `encode_v`."""
    return _times(codes.float().square_().square_(), scales / V[1] ** V[0])


def _encode(values: Tensor, exponent: int, most: int, chances: Tensor) -> tuple[Tensor, Tensor]:
    """Codes as float32 [n], and scales: y = (values / scale) most^exponent lies between code^exponent and the next."""
    blocks = _in_blocks(values)
    scales = blocks.amax(dim=1)
    y = (blocks / scales.clamp_min(torch.finfo(torch.float32).tiny)[:, None]).flatten()[: len(values)]
    code = y.sqrt() if exponent == 2 else y.sqrt().sqrt_()
    code.mul_(most).floor_()
    below, above = code.square(), (code + 1).square_()
    if exponent == 4:
        below.square_(), above.square_()
    share = y.mul_(most**exponent).sub_(below).div_(above.sub_(below))
    code.add_(share.add_(chances).floor_()).clamp_max_(most)  # the next one, if share + chance reach 1
    return code, scales


def _in_blocks(values: Tensor) -> Tensor:
    """[n] as [ceil(n / 128), 128]; zeros fill the last one."""
    rest = -len(values) % BLOCK
    return (F.pad(values, (0, rest)) if rest else values).view(-1, BLOCK)


def _times(values: Tensor, scales: Tensor) -> Tensor:
    """Each block of `values` times its scale, in place where no block is cut."""
    if len(values) % BLOCK:
        return values * scales.repeat_interleave(BLOCK)[: len(values)]
    values.view(-1, BLOCK).mul_(scales[:, None])
    return values
