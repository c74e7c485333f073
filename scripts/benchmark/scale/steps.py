"""Steps of a network as a run takes them, for measurements of the optimizers."""

from collections.abc import Iterable

import torch

from model.lora import Lora, add_lora
from scripts.benchmark.program import run_program
from scripts.benchmark.scale.tensors import LiveBytes
from training.engine.compact import made_compact
from training.engine.optimizers import build_optimizers
from training.engine.update import Updater


def learner(model, optimizer: str, compact: bool, rate: float, count: int) -> Updater:
    """What updates `model` in steps of `count` tokens."""
    optimizers = build_optimizers(model, optimizer, rate, 0.1)
    if compact:
        optimizers = made_compact(optimizers, model, offload=False)
    return Updater(optimizers, count, 1.0, fp16=False)


def step(updater: Updater, loss_of, micro_batches: Iterable, factor: float = 1.0) -> float:
    """One update; `loss_of(batch)` returns a sum and its count. Returns the mean."""
    for batch in micro_batches:
        updater.begin()
        with torch.autocast("cpu", torch.bfloat16):
            loss, count = loss_of(batch)
        updater.backward(loss, count)
    return updater.update(factor).loss


def bytes_of_steps(make, loss_of, micro_batches: list, optimizer: str, compact: bool, checkpointing: bool, lora=0):
    """The peak of the bytes of all tensors in the second of two updates, after moments were made in the first.

    make: returns a network. lora: the rank of adapters that are trained instead, or 0.
    """
    model = make()
    model.recomputes_layers = checkpointing
    if lora:
        add_lora(model, Lora(lora, 2.0 * lora))
    with LiveBytes(*model.parameters()) as live:
        updater = learner(model, optimizer, compact, 1e-3, 1024)
        step(updater, lambda batch: loss_of(model, batch), micro_batches)
        live.peak = live.now
        step(updater, lambda batch: loss_of(model, batch), micro_batches)
    return live.peak


if __name__ == "__main__":
    run_program(__doc__)
