"""Packs matrices into Q4_K and Q6_K, blocks of 256 numbers whose scales are themselves quantised; and into Q5_1.

    Q4_K  8 groups of 32: x = d s q - m t,     q in 0..15,   s and t in 0..63   (4.5 bits a number)
    Q6_K  16 groups of 16: x = d s (q - 32),   q in 0..63,   s in -128..127     (6.5625 bits a number)
    Q5_1  blocks of 32: x = d q + m,           q in 0..31                       (6 bits a number)

d and m are float16, one a block. A group's scale is searched for near the one that spans the group. For each candidate
the numbers are rounded and the scale is fitted to them by least squares; the best candidate is kept, as in llama.cpp's
quantize_row_q4_K_ref and quantize_row_q6_K_ref (ggml/src/ggml-quants.c). Large numbers count for more. Q5_1 is for rows
that are not whole blocks of 256; with this search its errors are smaller than those of `gguf` and llama.cpp, which take
the scale that spans the block.
"""

import numpy as np

_AT_ONCE = 2**20  # numbers; their candidates take some tens of megabytes


def pack_q4_k(rows: np.ndarray) -> np.ndarray:
    """Float32 [..., n] -> bytes uint8 [..., n / 256 * 144]."""
    return _by_parts(rows, 256, _q4_k)


def pack_q6_k(rows: np.ndarray) -> np.ndarray:
    """Float32 [..., n] -> bytes uint8 [..., n / 256 * 210]."""
    return _by_parts(rows, 256, _q6_k)


def pack_q5_1(rows: np.ndarray) -> np.ndarray:
    """Float32 [..., n] -> bytes uint8 [..., n / 32 * 24]."""
    return _by_parts(rows, 32, _q5_1)


def _by_parts(rows: np.ndarray, block: int, pack) -> np.ndarray:
    blocks, step = np.ascontiguousarray(rows, np.float32).reshape(-1, block), _AT_ONCE // block
    packed = [pack(blocks[start : start + step]) for start in range(0, len(blocks), step)]
    return np.concatenate(packed).reshape(*rows.shape[:-1], -1)


def _q4_k(blocks: np.ndarray) -> np.ndarray:
    groups = blocks.reshape(len(blocks), 8, 32)
    scales, offsets = _scale_and_offset(groups, 15)
    d, s = _six_bits(scales)
    m, t = _six_bits(offsets)
    step = (d.astype(np.float32) * s)[..., None]
    offset = (m.astype(np.float32) * t)[..., None]
    q = np.rint(_quotient(groups + offset, step)).clip(0, 15).astype(np.uint8)
    pairs = q.reshape(-1, 4, 2, 32)  # the groups 2i in the low halves of 32 bytes, 2i + 1 in the high
    nibbles = (pairs[:, :, 0] | pairs[:, :, 1] << 4).reshape(-1, 128)
    # Six bits of each scale and offset: the first four whole, with the upper two bits of the last four above them.
    first = [(part[:, :4] | (part[:, 4:] >> 4) << 6) for part in (s, t)]
    last = (s[:, 4:] & 15) | (t[:, 4:] & 15) << 4
    return np.concatenate([d.view(np.uint8), m.view(np.uint8), *first, last, nibbles], axis=1)


def _q5_1(blocks: np.ndarray) -> np.ndarray:
    scale, offset = _scale_and_offset(blocks, 31)
    d, m = scale.astype(np.float16)[:, None], (-offset).astype(np.float16)[:, None]
    q = np.rint(_quotient(blocks - m.astype(np.float32), d.astype(np.float32))).clip(0, 31).astype(np.uint8)
    fifth = np.packbits(q >> 4, axis=-1, bitorder="little")
    nibbles = (q[:, :16] & 15) | (q[:, 16:] & 15) << 4
    return np.concatenate([d.view(np.uint8), m.view(np.uint8), fifth, nibbles], axis=1)


def _scale_and_offset(groups: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """For groups [..., 32] the scale and the offset >= 0, each [...]: x is about scale q - offset, with q in 0..top."""
    weights = np.sqrt((groups**2).mean(-1, keepdims=True)) + np.abs(groups)
    low, high = np.minimum(groups.min(-1, keepdims=True), 0), groups.max(-1, keepdims=True)
    sum_w, sum_x = weights.sum(-1, keepdims=True), (weights * groups).sum(-1, keepdims=True)

    def rounded(levels: float) -> np.ndarray:
        return np.rint(_quotient(levels * (groups - low), high - low)).clip(0, top)

    def error_of(q: np.ndarray, scale: np.ndarray, low: np.ndarray) -> np.ndarray:
        return (weights * (scale * q + low - groups) ** 2).sum(-1, keepdims=True)

    scale = (high - low) / top  # spans the group exactly
    least = error_of(rounded(top), scale, low)
    for levels in top - 1 + np.arange(21, dtype=np.float32) / 10:
        q = rounded(levels)
        sum_q, sum_qq = (weights * q).sum(-1, keepdims=True), (weights * q * q).sum(-1, keepdims=True)
        sum_qx = (weights * q * groups).sum(-1, keepdims=True)
        determinant = sum_w * sum_qq - sum_q**2
        new_scale = _quotient(sum_w * sum_qx - sum_x * sum_q, determinant)
        new_low = _quotient(sum_qq * sum_x - sum_q * sum_qx, determinant)
        new_scale = np.where(new_low > 0, _quotient(sum_qx, sum_qq), new_scale)  # the offset cannot be below 0
        new_low = np.minimum(new_low, 0)
        error = error_of(q, new_scale, new_low)
        better = (determinant > 0) & (error < least)
        least, scale = np.where(better, error, least), np.where(better, new_scale, scale)
        low = np.where(better, new_low, low)  # the next candidates span the group from here
    return scale[..., 0], -low[..., 0]


def _quotient(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, float32; 0 where the denominator is 0."""
    zeros = np.zeros(np.broadcast_shapes(numerator.shape, denominator.shape), np.float32)
    return np.divide(numerator, denominator, out=zeros, where=denominator != 0)


def _six_bits(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values >= 0 [N, 8] as float16 [N, 1] times whole numbers up to 63, uint8 [N, 8]."""
    most = values.max(-1, keepdims=True)
    whole = np.rint(_quotient(63 * values, most)).clip(0, 63)
    return (most / 63).astype(np.float16), whole.astype(np.uint8)


def _q6_k(blocks: np.ndarray) -> np.ndarray:
    groups = blocks.reshape(len(blocks), 16, 16)
    scales = _scale(groups)
    most = np.take_along_axis(scales, np.abs(scales).argmax(-1)[:, None], -1)
    d = (most / -128).astype(np.float16)
    s = np.rint(_quotient(-128 * scales, most)).clip(-128, 127)
    step = (d.astype(np.float32) * s)[..., None]
    q = np.rint(_quotient(groups, step)).clip(-32, 31) + 32
    quarters = q.astype(np.uint8).reshape(-1, 2, 4, 32)
    low, high = quarters & 15, quarters >> 4
    # Two halves of 128 numbers, each as four runs of 32: runs 0 and 2, 1 and 3 share bytes for their lower four bits.
    lower = (low[:, :, :2] | low[:, :, 2:] << 4).reshape(-1, 128)
    upper = (high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6).reshape(-1, 64)
    return np.concatenate([lower, upper, s.astype(np.int8).view(np.uint8), d.view(np.uint8)], axis=1)


def _scale(groups: np.ndarray) -> np.ndarray:
    """For groups [N, 16, 16] the scale [N, 16], of either sign, so that x is about scale * q with q in -32..31."""
    largest = np.take_along_axis(groups, np.abs(groups).argmax(-1)[..., None], -1)
    weights = groups**2
    best, scale = np.zeros_like(largest), np.zeros_like(largest)
    for step in (0, *range(-9, 0), *range(1, 10)):
        inverse = _quotient(np.float32(-(32 + 0.1 * step)), largest)
        q = np.rint(groups * inverse).clip(-32, 31)
        sum_qx, sum_qq = (weights * groups * q).sum(-1, keepdims=True), (weights * q * q).sum(-1, keepdims=True)
        gain = _quotient(sum_qx**2, sum_qq)  # by how much the scale reduces the error
        better = gain > best
        best = np.where(better, gain, best)
        scale = np.where(better, _quotient(sum_qx, sum_qq), scale)
    return scale[..., 0]
