"""Small checkpoints, which differ from step to step."""

import torch


def contents(step: int) -> dict:
    generator = torch.Generator().manual_seed(step)
    return {"step": step, "model": {"weight": torch.randn(40, 25, generator=generator)}}


def same(a: dict, b: dict) -> bool:
    return a["step"] == b["step"] and torch.equal(a["model"]["weight"], b["model"]["weight"])
