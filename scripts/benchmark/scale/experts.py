"""Experts against a dense network of as many active parameters: the validation loss after equal tokens, and the price.

Both networks differ in nothing but their MLPs. A run is `train_pretrain.py` itself, over the same documents in the same
order. The two take turns, so that what else the machine does holds up both. A run that is already there is not run
again.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

from scripts.benchmark.learn import ROOT, select_documents
from scripts.benchmark.program import run_program
from training.report.metrics import read_metrics

HIDDEN = 128
NETWORK = (
    f"--hidden_size {HIDDEN} --num_hidden_layers 4 --num_attention_heads 4 --num_key_value_heads 2"
    " --intermediate_size 512 --qk_norm --max_seq_len 256"
)
STEPS = "--batch_size 8 --accumulation_steps 1 --max_steps 240"  # of 2,048 tokens
MLPS = {"dense": "", "experts": "--num_experts 8 --num_experts_per_tok 2"}


def compare(args) -> None:
    """Runs both networks with every seed, and prints their losses and speeds."""
    folder = Path(args.out_dir).absolute() / "scale" / "experts"
    training, validation = select_documents([Path(path) for path in args.data_path], folder)
    runs: dict[str, list[dict]] = {name: [] for name in MLPS}
    print(f"{'network':8} {'seed':>4}  {'loss':>6}  {'tokens/s':>8}  fullest expert  without a token")
    for seed in range(args.seeds):
        for name in MLPS:
            found = run(name, seed, training, validation, folder)
            runs[name].append(found)
            of_experts = f"{found['load_max']:14.2f}  {found['dead']:15.0f}" if "dead" in found else ""
            print(f"{name:8} {seed:4}  {found['loss']:6.4f}  {found['speed']:8,.0f}  {of_experts}", flush=True)
    for name, found in runs.items():
        losses, speed = [each["loss"] for each in found], statistics.median(each["speed"] for each in found)
        sizes = f"{found[0]['parameters'] / 1e6:.2f} M parameters, {found[0]['tokens']:,} tokens"
        print(
            f"{name:8} {sizes}: loss {statistics.mean(losses):.4f} (spread {max(losses) - min(losses):.4f}), {speed:,.0f} tokens/s"
        )
    lower = [dense["loss"] - experts["loss"] for dense, experts in zip(*runs.values())]
    ratio = [experts["speed"] / dense["speed"] for dense, experts in zip(*runs.values())]
    print(f"experts: loss lower by {', '.join(f'{each:.4f}' for each in lower)}; speed {statistics.median(ratio):.2f}x")
    print(json.dumps(runs))


def run(name: str, seed: int, training: Path, validation: Path, folder: Path) -> dict:
    """The figures of one run: its last validation, the median speed of its steps, and the balance of its last steps."""
    weight = f"{name}_seed{seed}"
    logs = folder / "runs" / "logs" / f"{weight}_{HIDDEN}"
    lines = read_metrics(logs / "metrics.jsonl") if (logs / "metrics.jsonl").exists() else []
    if not lines or "val_loss" not in lines[-1]:
        command = [sys.executable, "train_pretrain.py", "--data_path", training, "--val_path", validation]
        command += [*NETWORK.split(), *STEPS.split(), *MLPS[name].split(), "--seed", seed, "--weight_name", weight]
        command += ["--out_dir", folder / "runs", "--eval_interval", 1_000_000, "--sample_interval", 0]
        command += ["--device", "cpu", "--compile", "off"]
        subprocess.run(list(map(str, command)), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        lines = read_metrics(logs / "metrics.jsonl")
    description = json.loads((logs / "run.json").read_text(encoding="utf-8"))
    found = {
        "loss": lines[-1]["val_loss"],
        "tokens": lines[-1]["tokens"],
        "speed": statistics.median(line["time/tokens_per_second"] for line in lines),
        "parameters": description["parameters"],
    }
    for key in ("load_max", "dead"):
        if f"experts/{key}" in lines[-1]:
            found[key] = statistics.mean(line[f"experts/{key}"] for line in lines[-20:])
    return found


if __name__ == "__main__":
    run_program(__doc__)
