"""Experts against a dense network of as many active parameters: the validation loss after equal tokens, and the price.

Both networks differ in nothing but their MLPs. A run is `train_pretrain.py` itself, over the same documents in the same
order; the two take turns. A run that is already there is not run again, so a measurement that was stopped goes on.
The price is taken of both networks in one process, a step of each in turn: tokens a second, and processor time, which
other programs on the machine disturb less. `--rehearse` does all of it with few steps, to see that it works.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from model.config import TransformerConfig
from model.experts import ExpertsConfig
from model.transformer import Transformer
from scripts.benchmark.learn import ROOT, select_documents
from scripts.benchmark.program import run_program
from scripts.benchmark.scale.steps import learner, step
from training.losses.next_token import next_token_loss
from training.report.lines import read_metrics

VOCABULARY, ROWS, LENGTH = 6400, 8, 256  # the shipped tokenizer; a step is 2,048 tokens
SIZES = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 512,
}
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2}
STEPS, ROUNDS = 977, 30  # of a run, one pass over two million tokens; of the price
REHEARSED = {"steps": 4, "rounds": 2}


def compare(args) -> None:
    """Runs both networks with every seed, and prints their losses and their price."""
    steps, rounds = (REHEARSED["steps"], REHEARSED["rounds"]) if args.rehearse else (STEPS, ROUNDS)
    folder = Path(args.out_dir).absolute() / "scale" / ("experts_rehearsed" if args.rehearse else "experts")
    training, validation = select_documents([Path(path) for path in args.data_path], folder)
    price = price_of_steps(rounds)
    print(f"{'network':9}{'parameters':>12}{'active':>12}{'tokens/s':>10}{'processor':>11}  a step, {rounds} of each")
    for name, each in price.items():
        seconds = statistics.median(each["processor"])
        speed = ROWS * LENGTH / statistics.median(each["clock"])
        print(f"{name:9}{each['parameters']:>12,}{each['active']:>12,}{speed:>10,.0f}{seconds:>9.3f} s", flush=True)
    ratio = statistics.median(b / a for a, b in zip(*(each["processor"] for each in price.values()), strict=True))
    print(f"a step with experts takes {ratio:.2f} times the processor time of a dense one", flush=True)

    runs: dict[str, list[dict]] = {name: [] for name in price}
    for seed in range(args.seeds):
        for name in runs:
            found = run(name, seed, steps, training, validation, folder)
            runs[name].append(found)
            print(f"{name:8} seed {seed}: {in_words(found)}", flush=True)
    for name, found in runs.items():
        losses = [each["loss"] for each in found]
        spread = max(losses) - min(losses)
        print(f"{name:8} loss {statistics.mean(losses):.4f} (spread {spread:.4f}) after {found[0]['tokens']:,} tokens")
    lower = ", ".join(f"{dense['loss'] - experts['loss']:+.4f}" for dense, experts in zip(*runs.values(), strict=True))
    print(f"the loss with experts is lower by {lower}")
    print(json.dumps({"price": price, "runs": runs}))


def networks() -> dict[str, Transformer]:
    """Both networks, new."""
    dense = TransformerConfig(vocab_size=VOCABULARY, qk_norm=True, **SIZES)
    return {"dense": Transformer(dense), "experts": Transformer(ExpertsConfig.of(dense).replace(**EXPERTS))}


def price_of_steps(rounds: int) -> dict[str, dict]:
    """By network its sizes, and the seconds of each of `rounds` steps by the clock and of the processor.

    A step is an update as in training, by Muon, on random tokens: on which ones does not change its time. Two steps
    before them are not counted.
    """
    torch.manual_seed(0)
    tokens = torch.randint(3, VOCABULARY, (ROWS, LENGTH + 1))
    found, learners = {}, {}
    for name, network in networks().items():
        config = network.config
        sizes = {"parameters": config.num_parameters(), "active": config.active_parameters()}
        found[name] = sizes | {"clock": [], "processor": []}
        learners[name] = network, learner(network, "muon", False, 0.02, ROWS * LENGTH)
    for number in range(rounds + 2):
        for name, (network, updater) in learners.items():
            clock, processor = time.perf_counter(), time.process_time()
            step(updater, lambda batch, network=network: loss_of(network, batch), [tokens])
            if number >= 2:
                found[name]["clock"].append(time.perf_counter() - clock)
                found[name]["processor"].append(time.process_time() - processor)
    return found


def loss_of(network: Transformer, tokens: torch.Tensor):
    """Sum and count of the loss of every next token."""
    targets = tokens[:, 1:]
    return next_token_loss(network.features(tokens[:, :-1]), network.lm_head.weight, targets), targets.numel()


def run(name: str, seed: int, steps: int, training: Path, validation: Path, folder: Path) -> dict:
    """The figures of one run: its last validation, and the balance of its last steps."""
    weight = f"{name}_{steps}_steps_seed{seed}"
    result, logs = folder / f"{weight}.json", folder / "runs" / "logs" / f"{weight}_{SIZES['hidden_size']}"
    if result.exists():
        return json.loads(result.read_text(encoding="utf-8"))
    sizes = SIZES | (EXPERTS if name == "experts" else {})
    shape = [word for key, value in sizes.items() for word in (f"--{key}", value)]
    command = [sys.executable, "train_pretrain.py", "--data_path", training, "--val_path", validation]
    command += [*shape, "--qk_norm", "--max_seq_len", LENGTH, "--batch_size", ROWS, "--accumulation_steps", 1]
    command += ["--max_steps", steps, "--seed", seed, "--weight_name", weight, "--out_dir", folder / "runs"]
    command += ["--eval_interval", 1_000_000, "--sample_interval", 0, "--device", "cpu", "--compile", "off"]
    started = time.perf_counter()
    subprocess.run([*map(str, command)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    lines = read_metrics(logs / "metrics.jsonl")
    found = {
        "loss": lines[-1]["val_loss"],
        "tokens": lines[-1]["tokens"],
        "seconds": time.perf_counter() - started,
    }
    for key in ("load_max", "router_entropy", "dead"):
        if f"experts/{key}" in lines[-1]:
            found[key] = statistics.mean(line[f"experts/{key}"] for line in lines[-20:])
    result.write_text(json.dumps(found), encoding="utf-8")
    return found


def in_words(found: dict) -> str:
    words = f"validation loss {found['loss']:.4f}, {found['seconds']:.0f} s in all"
    if "dead" in found:
        words += f", fullest expert {found['load_max']:.2f} times the mean, {found['dead']:.1f} without a token"
    return words


if __name__ == "__main__":
    run_program(__doc__)
