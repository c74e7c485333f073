"""Muon's orthogonalisation in float32 on a CPU: step by step, against all steps at once for tall matrices."""

import time

import torch

from model.config import PRESETS
from scripts.benchmark.program import run_program
from training.engine import muon

CHOSEN = {"tiny": 8, "26m": 8}  # presets, and how many matrices of a layer's shapes are stacked
ROUNDS = 7


def compare(args) -> None:
    """Prints a line for each preset and shape: milliseconds of both ways, in turns; and how far each is from float64,
    for matrices whose singular values go down to 1e-7."""
    print(f"{torch.get_num_threads()} thread(s)\npreset  matrices         steps  at once  ratio  off by         off by")
    for preset, count in CHOSEN.items():
        config = PRESETS[preset]
        for shape in ((config.intermediate_size, config.hidden_size), (config.hidden_size, config.intermediate_size)):
            matrices = _matrices(count, shape)
            best, tall = {}, muon.TALL
            for _ in range(ROUNDS):
                for muon.TALL in (float("inf"), tall):
                    began = time.perf_counter()
                    muon.orthogonalize(matrices)
                    best[muon.TALL] = min(best.get(muon.TALL, 1e9), time.perf_counter() - began)
            expected, off = muon.orthogonalize(matrices.double()), []
            for muon.TALL in (float("inf"), tall):
                off.append(float((muon.orthogonalize(matrices) - expected).norm() / expected.norm()))
            (before, after), size = best.values(), f"{count} x {shape[0]} x {shape[1]}"
            line = f"{preset:6}  {size:15}  {before * 1e3:5.1f}  {after * 1e3:7.1f}  {after / before:5.2f}"
            print(f"{line}  {off[0]:.1e}        {off[1]:.1e}", flush=True)


def _matrices(count: int, shape: tuple[int, int]) -> torch.Tensor:
    random = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))
    left, values, right = torch.linalg.svd(random, full_matrices=False)
    return left * torch.logspace(0, -7, values.shape[-1]) @ right


if __name__ == "__main__":
    run_program(__doc__)
