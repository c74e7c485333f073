"""Attention: who sees whom, rotary positions, and softmax(q k' / sqrt(h)) v by the fastest means for the device.

B rows, H query heads, K key/value heads, T queries, S keys, h head size. G = H / K query heads share a key/value head.

RoPE (https://arxiv.org/abs/2104.09864) turns each pair of dimensions (i, i + h/2) of a head by the angle
`position * theta^(-2i/h)`, so that the product of a query and a key depends on their distance alone.
It is stretched to longer texts by turning pairs slower (`model/rope_scaling.py`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

QUERY_BLOCK = 256


def visible(query_documents: Tensor, key_documents: Tensor) -> Tensor:
    """Which keys each query may see, boolean [B, 1, T, S], the T queries being the last of the S tokens.

    query_documents [B, T] and key_documents [B, S] number the document each token belongs to.
    """
    T, S = query_documents.shape[1], key_documents.shape[1]
    order = torch.arange(S, device=key_documents.device)
    causal = order[None, :] <= order[S - T :, None]
    same = query_documents[:, :, None] == key_documents[:, None, :]
    return (causal & same)[:, None]


def inverse_frequencies(head_dim: int, theta: float, scaling: dict | None, max_positions: int) -> tuple[Tensor, float]:
    """Angle per position of each pair, float32 [head_dim / 2] on the CPU, and the factor on cosine and sine.

    The order of the operations is HF's: a difference in the last bit of a frequency changes the angle at position
    30,000 by thousandths.
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu") / head_dim
    periods = theta**exponents  # positions per radian
    if scaling is None:
        return 1.0 / periods, 1.0
    from model.rope_scaling import stretched  # only stretched positions need it

    return stretched(periods, head_dim, theta, scaling, max_positions)


def rotary_tables(positions: Tensor, frequencies: Tensor, factor: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine, each [B, 1, T, head_dim], float32, for positions [B, T]."""
    angles = positions[:, None, :, None].float() * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos() * factor, angles.sin() * factor


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turns the heads `x` [B, H, T, head_dim]; the result has the dtype of `x`."""
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (x * cosine + turned * sine).to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention for q [B, H, T, h] and k, v [B, K, S, h]; `mask` [B or 1, 1, T, S], True = may see.

    Without a mask the T tokens are the whole text (causal) or, if T is 1, the newest token, which sees everything.
    """
    (B, H, T, h), K = q.shape, k.shape[1]
    if T == 1:
        # One new token: the queries that share a key/value head are stacked as if they were tokens, so that the
        # cache is read in place instead of being repeated for each of them.
        return F.scaled_dot_product_attention(q.view(B, K, H // K, h), k, v, attn_mask=mask).reshape(B, H, 1, h)
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.requires_grad:
        # Training on a CPU: twice as fast as the built-in kernel, whose backward does not use bfloat16 instructions.
        return BlockAttention.apply(q, k, v, mask)
    grouped = H != K
    if grouped and not (mask is None and _flash_attention_runs(q)):
        # Of PyTorch's fast kernels only flash attention knows groups; the others would give way to one that
        # writes down all T x S scores.
        k, v, grouped = k.repeat_interleave(H // K, dim=1), v.repeat_interleave(H // K, dim=1), False
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=grouped)


def _flash_attention_runs(q: Tensor) -> bool:
    """Flash attention needs an Ampere GPU or newer and 16-bit numbers."""
    half = q.dtype in (torch.float16, torch.bfloat16)
    return half and q.device.type == "cuda" and torch.cuda.get_device_capability(q.device) >= (8, 0)


class KVCache:
    """Keys and values of up to `capacity` tokens of every row for every layer, and how many each row has.

    Allocated once: growing a cache by concatenation would copy it at every token. The rows may be of different
    lengths; what lies behind the end of one is hidden from it, and zero at first, since 0 x NaN is NaN.
    """

    def __init__(self, config, batch_size: int, capacity: int, device=None, dtype=torch.float32):
        shape = (config.num_hidden_layers, batch_size, config.num_key_value_heads, capacity, config.head_dim)
        self.keys, self.values = (torch.zeros(shape, device=device, dtype=dtype) for _ in range(2))
        self.lengths = torch.zeros(batch_size, dtype=torch.long, device=device)
        self.capacity, self.rows, self.longest, self.fixed = capacity, batch_size, 0, self.keys.is_cuda

    @property
    def width(self) -> int:
        """How many tokens attention looks at when the next token of each row comes. On a GPU one of few numbers: so a
        CUDA graph serves many steps, and no kernel is planned for each length anew."""
        return min(max(256, 1 << self.longest.bit_length()), self.capacity) if self.fixed else self.longest + 1

    def place(self, count: int) -> tuple[Tensor, Tensor | None]:
        """Positions [B, T] of the next T = `count` tokens of each row, and a mask [B, 1, T, S] that hides what they do
        not see; None where each sees all before it. To be followed by a `write` for every layer, then by `advance`.
        """
        end, device, K = self.longest + count, self.keys.device, self.keys.shape[2]
        if end > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} tokens, {end} were asked of it")
        positions = self.lengths[: self.rows, None] + torch.arange(count, device=device)
        heads = torch.arange(self.rows * K, device=device).view(self.rows, K, 1)
        self._slots = (heads * self.capacity + positions[:, None]).flatten()  # [B K T]
        # The first reading has no mask, which would hide what is empty.
        self._seen = self.width if count == 1 and self.longest else end
        if self.longest == 0:
            return positions, None
        hidden = torch.arange(self._seen, device=device) > positions[:, None, :, None]
        return positions, torch.zeros_like(hidden, dtype=self.keys.dtype).masked_fill_(hidden, -torch.inf)

    def write(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Stores [B, K, T, h] behind what each row has and returns all, [B, K, S, h], as views."""
        for store, new in ((self.keys[layer], keys), (self.values[layer], values)):
            store.view(-1, store.shape[-1]).index_copy_(0, self._slots, new.reshape(-1, store.shape[-1]))
        return tuple(store[layer, : self.rows, :, : self._seen] for store in (self.keys, self.values))

    def advance(self, count: int) -> None:
        self.lengths[: self.rows] += count
        self.longest += count


class BlockAttention(torch.autograd.Function):
    """Causal attention as plain matrix products over blocks of queries, each with the keys up to its own end.

    The keys after a block are never computed, which saves nearly half; the query heads of a group are stacked
    into one taller matrix instead of repeating their keys. Keeps the attention weights for the backward pass:
    T^2 / 2 numbers a head, which a CPU has room for. Scores are rounded to the type of `q` before the
    softmax, as in any attention that is written out under autocast; the softmax itself is taken in float32.
    """

    @staticmethod
    def forward(ctx, q, k, v, mask):
        (B, H, T, h), K = q.shape, k.shape[1]
        q, k, v = q.reshape(B * K, H // K, T, h), k.reshape(B * K, T, h), v.reshape(B * K, T, h)
        output, *weights = attend_in_blocks(q, k, v, mask)
        ctx.save_for_backward(q, k, v, *weights)
        return output.view(B, H, T, h)

    @staticmethod
    def backward(ctx, grad_output):
        q, k, v, *all_weights = ctx.saved_tensors
        BK, G, T, h = q.shape
        scale = h**-0.5
        B, H = grad_output.shape[:2]
        grad_output = grad_output.reshape(BK, G, T, h)
        grad_q = torch.empty_like(q)
        grad_k, grad_v = (torch.zeros_like(each, dtype=torch.float32) for each in (k, v))
        for weights, start in zip(all_weights, range(0, T, QUERY_BLOCK)):
            end = min(start + QUERY_BLOCK, T)
            n = end - start
            grad, queries = (each[:, :, start:end].reshape(BK, G * n, h) for each in (grad_output, q))
            grad_v[:, :end] += torch.bmm(weights.mT, grad)
            grad_weights = torch.bmm(grad, v[:, :end].mT)
            grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
            grad_q[:, :, start:end] = (torch.bmm(grad_scores, k[:, :end]) * scale).view(BK, G, n, h)
            grad_k[:, :end] += torch.bmm(grad_scores.mT, queries)
        K = BK // B
        grad_k = (grad_k * scale).to(k.dtype).view(B, K, T, h)
        return grad_q.view(B, H, T, h), grad_k, grad_v.to(v.dtype).view(B, K, T, h), None


@torch.overrides.wrap_torch_function(lambda q, k, v, mask: (q, k, v))  # so that `model.recomputation` can keep it
def attend_in_blocks(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> list[Tensor]:
    """Output [B K, G, T, h] and weights of each block [B K, G n, end], for q of that shape and k, v [B K, T, h]."""
    groups, G, T, h = q.shape
    output, all_weights = torch.empty_like(q), []
    for start in range(0, T, QUERY_BLOCK):
        end = min(start + QUERY_BLOCK, T)
        n = end - start
        scores = torch.bmm(q[:, :, start:end].reshape(groups, G * n, h) * h**-0.5, k[:, :end].mT)
        scores = scores.view(groups, G, n, end)
        if mask is None:
            future = torch.full((n, n), -torch.inf, dtype=q.dtype).triu(1)
            scores[..., start:end] += future
        else:
            seen = mask[:, :, start:end, :end].expand(-1, groups // len(mask), n, end).reshape(groups, 1, n, end)
            scores = scores.masked_fill(~seen, -torch.inf)
        weights = scores.softmax(-1).view(groups, G * n, end)
        output[:, :, start:end] = torch.bmm(weights, v[:, :end]).view(groups, G, n, h)
        all_weights.append(weights)
    return [output, *all_weights]
