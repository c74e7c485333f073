"""Compact optimizers against the exact ones: losses after equal steps, tokens a second, and bytes for the preset 1b.

Losses and speeds are of a small network that learns the texts of --data_path by the loop of `steps.py`, in bfloat16 on
a CPU, from the same rows in the same order; exact and compact take turns. Bytes are those of the plan
(`training/engine/memory.py`).
"""

import statistics
import time
from pathlib import Path

import torch

from dataset.cache.token_cache import build_or_open
from dataset.rows.rows import Rows
from dataset.rows.texts import TEXTS
from model.config import PRESETS
from model.text.tokenizer import Tokenizer
from model.transformer import Transformer
from scripts.benchmark.program import run_program
from scripts.benchmark.scale.steps import learner, step
from training.engine.memory_on_cuda import WORKSPACE, CudaFootprint
from training.engine.schedules import learning_rate_factor
from training.losses.next_token import next_token_loss

CONFIG = PRESETS["tiny"].replace(
    vocab_size=6400, hidden_size=64, intermediate_size=176, num_hidden_layers=2, head_dim=16
)
STEPS, ROWS, LENGTH, WARMUP = 500, 4, 64, 20
RATES = {"adamw": 2e-3, "muon": 0.02}
SPEED_STEPS, SPEED_ROWS = 2, 32
LORA_RANK = 16


def compare(args) -> None:
    """Prints the losses of every seed, the speeds, and the bytes."""
    for line in bytes_of_1b():
        print(line, flush=True)
    rows = open_rows(args)
    for optimizer in RATES:
        for seed in range(args.seeds):
            exact, compact = (train(rows, optimizer, compact, seed) for compact in (False, True))
            difference = f"{compact / exact - 1:+.2%}"
            print(f"{optimizer:5} seed {seed}: exact {exact:.4f}, compact {compact:.4f} ({difference})", flush=True)
    for optimizer in RATES:
        ratio = speeds(rows, optimizer, args.rounds)
        print(f"{optimizer:5} tokens a second, compact / exact: {ratio:.3f}", flush=True)


def open_rows(args) -> Rows:
    """Rows of the texts of --data_path."""
    where = Path(args.out_dir) / "scale" / "cache"
    caches = [build_or_open(Path(p), Tokenizer.load(), TEXTS.cache, cache_dir=where) for p in args.data_path]
    return Rows(TEXTS, [(cache, None) for cache in caches], LENGTH, seed=0)


def new_network(seed: int, config=CONFIG) -> Transformer:
    torch.manual_seed(seed)
    return Transformer(config)


def loss_of(model, batch):
    return next_token_loss(model.features(batch.tokens, batch.positions), model.lm_head.weight, batch.targets), (
        batch.trained
    )


def train(rows: Rows, optimizer: str, compact: bool, seed: int, steps: int = STEPS) -> float:
    """The mean loss of the last 50 steps."""
    model, losses = new_network(seed), []
    updater = learner(model, optimizer, compact, RATES[optimizer], ROWS * LENGTH)
    for number in range(steps):
        first = (seed * steps + number) * ROWS % (rows.rows_per_epoch - ROWS)
        halves = [rows.batch(0, range(start, start + ROWS // 2)) for start in (first, first + ROWS // 2)]
        factor = learning_rate_factor(number, steps, WARMUP, "wsd")
        losses.append(step(updater, lambda batch: loss_of(model, batch), halves, factor))
    return statistics.mean(losses[-50:])


def speeds(rows: Rows, optimizer: str, rounds: int) -> float:
    """Tokens a second of the compact optimizer divided by those of the exact one: the median of all rounds, in seconds
    of the processor, which other programs disturb least."""
    batches = [rows.batch(0, range(start, start + SPEED_ROWS)) for start in range(0, 4 * SPEED_ROWS, SPEED_ROWS)]
    pairs = []
    networks = [new_network(0, PRESETS["26m"].replace(num_hidden_layers=4)) for _ in range(2)]
    updaters = [learner(m, optimizer, c, RATES[optimizer], 1000) for m, c in zip(networks, (False, True))]
    for _ in range(rounds + 1):
        seconds = []
        for model, updater in zip(networks, updaters):
            started = time.process_time()
            for _ in range(SPEED_STEPS):
                step(updater, lambda batch, model=model: loss_of(model, batch), batches, 0.1)
            seconds.append(time.process_time() - started)
        pairs.append(seconds[0] / seconds[1])
    return statistics.median(pairs[1:])  # the first warms up


def bytes_of_1b(length: int = 1024):
    """Lines of a table: what the plan says of one row on a GPU, with activation checkpointing."""
    config = PRESETS["1b"]
    inputs = config.hidden_size + config.intermediate_size
    keys = config.head_dim * config.num_key_value_heads
    adapters = LORA_RANK * config.num_hidden_layers * (4 * config.hidden_size + 2 * (config.hidden_size + keys))
    adapters += LORA_RANK * config.num_hidden_layers * 3 * inputs
    for name, optimizer, learns in (
        ("pretraining, SFT", "muon", config.num_parameters()),
        ("DPO, reference cached", "adamw", config.num_parameters()),
        (f"LoRA of rank {LORA_RANK}", "adamw", adapters),
    ):
        for compact in (False, True):
            settings = {"program": WORKSPACE, "adapters": learns == adapters, "compact": compact}
            settings["head_learns"] = not settings["adapters"]
            rows = 2 if name.startswith("DPO") else 1  # a pair
            parts = CudaFootprint(config, length, optimizer, learns, 2, **settings).parts(rows, checkpointing=True)
            words = ", ".join(f"{part} {size / 2**30:.2f}" for part, size in parts.items() if size)
            kind = "compact" if compact else "exact"
            yield f"{name:22} {optimizer:5} {kind:7} {sum(parts.values()) / 2**30:6.2f} GiB: {words}"


if __name__ == "__main__":
    run_program(__doc__)
