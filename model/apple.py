"""Finds out by trying what an Apple GPU can do."""

import torch


def bfloat16_is_sound(device: torch.device) -> bool:
    """Tries a bfloat16 product under autocast, with its gradient, against float32: within 2 % it is sound.

    Whether an Apple GPU can do it depends on the chip, on macOS and on torch, so it is tried rather than looked up.
    """
    generator = torch.Generator().manual_seed(0)
    x, w = (torch.randn(128, 128, generator=generator).to(device).requires_grad_() for _ in range(2))
    exact = torch.autograd.grad((x @ w).square().sum(), (x, w))
    try:
        with torch.autocast(device.type, torch.bfloat16):
            product = x @ w
        tried = torch.autograd.grad(product.float().square().sum(), (x, w))
    except (RuntimeError, TypeError):  # an old macOS has no bfloat16 at all
        return False
    errors = [(a - b).norm() / b.norm() for a, b in zip(tried, exact)]
    return product.dtype == torch.bfloat16 and all(float(error) < 0.02 for error in errors)
