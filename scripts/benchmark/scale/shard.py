"""How many bytes a process holds with each `--shard`: weights, gradients, moments, counted from the tensors.

One step of a network of --preset with AdamW and Muon, by one process, two and four, on the CPU, over random tokens.
"""

import multiprocessing
import os
import socket
from argparse import Namespace

import torch

from model.config import PRESETS
from model.transformer import Transformer
from scripts.benchmark.program import run_program
from training.engine.machine import Machine
from training.engine.optimizers import optimizers_for
from training.engine.update import Updater

MODES, PROCESSES = ("none", "optimizer", "full"), (1, 2, 4)
FLAGS = {"device": "cpu", "dtype": "float32", "compile": "off", "weight_decay": 0.1, "adam_beta2": 0.95, "fit": None}
FLAGS |= dict.fromkeys(("optimizer_memory", "offload_states", "deterministic", "histograms"))
FLAGS |= {"activation_checkpointing": False}


def compare(args) -> None:
    """Prints a table: bytes a process holds between two steps, and of weights that are whole after a forward pass."""
    print(f"\n{args.preset}: MB of the process that holds most\n")
    print(
        "| optimizer | --shard | processes | weights | gradients | moments | together | whole after the forward pass |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for optimizer in ("adamw", "muon"):
        for mode in MODES:
            for count in PROCESSES if mode == "none" else PROCESSES[1:]:
                found = measured(args.preset, mode, optimizer, count)
                most = max(found, key=lambda one: one["weights"] + one["gradients"] + one["moments"])
                held = [most[name] / 1e6 for name in ("weights", "gradients", "moments")]
                row = " | ".join(f"{size:,.1f}" for size in (*held, sum(held), most["whole"] / 1e6))
                print(f"| {optimizer} | {mode} | {count} | {row} |", flush=True)


def measured(preset: str, mode: str, optimizer: str, count: int) -> list[dict[str, int]]:
    """What each of `count` processes holds, as `bytes_held` says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    context = multiprocessing.get_context("fork")  # PyTorch is imported already, and has computed nothing
    answers = context.SimpleQueue()
    started = []
    for number in map(str, range(count)):
        place = address | {"RANK": number, "LOCAL_RANK": number}
        started.append(context.Process(target=_answer, args=(answers, place, preset, mode, optimizer)))
        started[-1].start()
    for each in started:
        each.join()
    if any(each.exitcode for each in started):
        raise RuntimeError(f"a process of --shard {mode} ended with an error: see what it said")
    return [answers.get() for _ in started]


def _answer(answers, environment: dict[str, str], *what: str) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    answers.put(bytes_held(*what))


def bytes_held(preset: str, mode: str, optimizer: str) -> dict[str, int]:
    """Of this process after one step: weights, gradients, moments; `whole`: weights gathered in the forward pass."""
    args = Namespace(shard=mode, optimizer=optimizer, **FLAGS)
    machine = Machine(args, lambda line: None)
    machine.start()
    try:
        torch.manual_seed(0)
        model = Transformer(PRESETS[preset])
        optimizers = optimizers_for(model, args, 1e-3, machine)
        updater = (machine.shards.updater if machine.shards else Updater)(optimizers, 64, 1.0, False)
        features = model.features(torch.arange(64)[None])
        # Those that FSDP has gathered are plain tensors at this moment, and the others are pieces.
        plain = {p for p in model.parameters() if not hasattr(p, "to_local")} if machine.shards else set()
        whole = sum(parameter.nbytes for parameter in plain)
        updater.backward((features @ model.lm_head.weight.T).square().sum(), 64)
        updater.update(1.0)
        states = [value for each in optimizers for state in each.state.values() for value in state.values()]
        return {
            "weights": sum(parameter.nbytes for parameter in updater.parameters),
            "gradients": sum(parameter.grad.nbytes for parameter in updater.parameters),
            "moments": sum(value.nbytes for value in states if value.dim()),
            "whole": whole,
        }
    finally:
        machine.stop()


if __name__ == "__main__":
    run_program(__doc__)
