"""Muon's orthogonalisation in float32 on a CPU: step by step, against all steps at once for tall matrices."""

import time

import torch

from model.config import PRESETS
from scripts.benchmark.program import run_program
from training.engine import muon

CHOSEN, COUNT, ROUNDS = ("tiny", "26m"), 8, 7  # presets, matrices that are stacked, and times that both take turns


def compare(args) -> None:
    """Prints a line for each preset and shape: milliseconds of both ways, the best of several rounds in turns; and how
    far the results are from those of float64, for matrices whose singular values go down to 1e-7."""
    print(f"milliseconds for {COUNT} matrices with {torch.get_num_threads()} thread(s), relative distance from float64")
    print("preset  matrix       by steps  at once  ratio  by steps  at once")
    for preset in CHOSEN:
        config = PRESETS[preset]
        for shape in ((config.intermediate_size, config.hidden_size), (config.hidden_size, config.intermediate_size)):
            matrices = _matrices(shape)
            expected = muon.orthogonalize(matrices.double())  # float64 takes one step after the other
            times = [(_timed(_by_steps, matrices), _timed(muon.orthogonalize, matrices)) for _ in range(ROUNDS)]
            before, after = (min(each) * 1e3 for each in zip(*times))
            found = _by_steps(matrices), muon.orthogonalize(matrices)
            off = [float((each - expected).norm() / expected.norm()) for each in found]
            line = f"{preset:6}  {shape[0]:4} x {shape[1]:4}  {before:8.1f}  {after:7.1f}  {after / before:5.2f}"
            print(f"{line}  {off[0]:8.1e}  {off[1]:7.1e}", flush=True)


def _by_steps(matrices: torch.Tensor) -> torch.Tensor:
    tall, muon.TALL = muon.TALL, float("inf")
    try:
        return muon.orthogonalize(matrices)
    finally:
        muon.TALL = tall


def _timed(way, matrices: torch.Tensor) -> float:
    began = time.perf_counter()
    way(matrices)
    return time.perf_counter() - began


def _matrices(shape: tuple[int, int]) -> torch.Tensor:
    random = torch.randn(COUNT, *shape, generator=torch.Generator().manual_seed(0))
    left, values, right = torch.linalg.svd(random, full_matrices=False)
    return left * torch.logspace(0, -7, values.shape[-1]) @ right


if __name__ == "__main__":
    run_program(__doc__)
