"""Rows in groups, each with a matrix of its own: sorting the rows, and the products, in one kernel or one by one.

This is the only place where the devices differ. On a GPU that has `torch.nn.functional.grouped_mm`, all groups are one
kernel, which reads their sizes on the device. Elsewhere the host reads them, and loops.
"""

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F
from torch import Tensor


class Reordered(torch.autograd.Function):
    """x[order // copies]: the rows of x [n, D], each `copies` times, in another order, [n * copies, D].

    inverse: where each copy went, so that inverse[order] counts from 0. The gradient of a row is the sum over its
    copies, found by looking them up. Adding them up where they lie would round in another order each time on a GPU.
    """

    @staticmethod
    def forward(ctx, x: Tensor, order: Tensor, inverse: Tensor, copies: int) -> Tensor:
        ctx.save_for_backward(inverse)
        ctx.copies = copies
        return x[order // copies]

    @staticmethod
    def backward(ctx, gradient: Tensor):
        (inverse,) = ctx.saved_tensors
        return gradient[inverse].unflatten(0, (-1, ctx.copies)).sum(1), None, None, None


def grouped_product(x: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    """Rows ends[g - 1] to ends[g] of x [rows, in] times the transposed weights[g] [out, in], for all g: [rows, out].

    ends: int64 [groups], rising to the number of rows. x and weights have one type.
    """
    if _is_one_kernel(x.device, x.dtype, weights.shape[1:]):
        return in_one_kernel(x, weights, ends)
    return one_by_one(x, weights, ends)


def waits_for_the_host(config, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a network of this configuration has experts whose products are no kernel, and so cannot be recorded."""
    if config.model_type != "qwen3_moe":
        return False
    return not _is_one_kernel(device, dtype, (config.hidden_size, config.moe_intermediate_size))


def _is_one_kernel(device: torch.device, dtype: torch.dtype, sides: Sequence[int]) -> bool:
    """Whether the product with matrices of these sides is one kernel: in bfloat16, on Hopper and the large Blackwell
    cards. Elsewhere PyTorch has the function, too, but lets the host read the sizes, and loops (GroupedBlas.cpp)."""
    if device.type != "cuda" or dtype != torch.bfloat16 or any(side * dtype.itemsize % 16 for side in sides):
        return False
    return torch.cuda.get_device_capability(device)[0] in (9, 10) and _one_kernel(device, dtype)


def in_one_kernel(x: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    """`grouped_product` without waiting for the device; rows must have a multiple of 16 bytes."""
    return F.grouped_mm(x, weights.mT, offs=ends.to(torch.int32))


def one_by_one(x: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    """`grouped_product` by a loop over the groups that have rows."""
    sizes = ends.diff(prepend=ends.new_zeros(1)).tolist()
    # Not weights[g], whose gradient would be as large as all weights, for each group.
    groups = zip(x.split(sizes), weights.unbind(), strict=True)
    return torch.cat([_product(rows, weight) for rows, weight in groups if len(rows)])


def _product(rows: Tensor, weight: Tensor) -> Tensor:
    """Half precision on a CPU: oneDNN makes and keeps a program for each number of rows, so there are few of them."""
    if rows.device.type != "cpu" or rows.itemsize != 2:
        return F.linear(rows, weight)
    surplus = -len(rows) % (8 if len(rows) <= 64 else 64)
    return F.linear(F.pad(rows, (0, 0, 0, surplus)), weight)[: len(rows)]


@functools.cache
def _one_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the device multiplies groups of this type in one kernel, gradients included; tried once.

    It is first asked amid a layer. A thread of its own has none of the hooks and modes by which activation
    checkpointing would count the trial among the operations of that layer.
    """
    if not hasattr(F, "grouped_mm"):  # before PyTorch 2.10
        return False
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_runs, device, dtype).result()


def _runs(device: torch.device, dtype: torch.dtype) -> bool:
    with torch.inference_mode(False), torch.enable_grad():
        x, weights = torch.ones(32, 16, device=device, dtype=dtype), torch.ones(3, 8, 16, device=device, dtype=dtype)
        try:
            found = in_one_kernel(x.requires_grad_(), weights.requires_grad_(), torch.tensor([8, 8, 32], device=device))
            found.backward(torch.ones_like(found))
        except RuntimeError:
            return False
        return bool((found == 16).all() and (x.grad == 8).all() and (weights.grad[2] == 24).all())
