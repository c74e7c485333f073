"""Experts against a dense network of as many active parameters: the validation loss after equal tokens, and the price.

Both networks differ in nothing but their MLPs. A run is `train_pretrain.py` itself, over the same documents in the same
order; the two take turns. The price is the processor time of a whole run, beside tokens a second by the clock, which
other programs on the machine disturb. A run that is already there is not run again.
"""

import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from scripts.benchmark.learn import ROOT, select_documents
from scripts.benchmark.program import run_program
from training.report.lines import read_metrics

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
    for seed in range(args.seeds):
        for name in MLPS:
            found = run(name, seed, training, validation, folder)
            runs[name].append(found)
            print(f"{name:8} seed {seed}: {in_words(found)}", flush=True)
    for name, found in runs.items():
        losses = [each["loss"] for each in found]
        sizes = f"{found[0]['parameters'] / 1e6:.2f} M parameters, {found[0]['tokens']:,} tokens"
        print(f"{name:8} {sizes}: loss {statistics.mean(losses):.4f} (spread {max(losses) - min(losses):.4f})")
    pairs = list(zip(*runs.values()))
    lower = ", ".join(f"{dense['loss'] - experts['loss']:+.4f}" for dense, experts in pairs)
    seconds, speed = (statistics.median(b[key] / a[key] for a, b in pairs) for key in ("cpu_seconds", "speed"))
    print(f"the loss with experts is lower by {lower}; {seconds:.2f} times the processor time, {speed:.2f} tokens/s")
    print(json.dumps(runs))


def run(name: str, seed: int, training: Path, validation: Path, folder: Path) -> dict:
    """The figures of one run: its last validation, its speed, and the balance of its last steps."""
    weight = f"{name}_seed{seed}"
    result, logs = folder / f"{weight}.json", folder / "runs" / "logs" / f"{weight}_{HIDDEN}"
    if result.exists():
        return json.loads(result.read_text(encoding="utf-8"))
    command = [sys.executable, "train_pretrain.py", "--data_path", training, "--val_path", validation]
    command += [*NETWORK.split(), *STEPS.split(), *MLPS[name].split(), "--seed", seed, "--weight_name", weight]
    command += ["--out_dir", folder / "runs", "--eval_interval", 1_000_000, "--sample_interval", 0]
    before = _processor_time()
    subprocess.run(
        [*map(str, command), "--device", "cpu", "--compile", "off"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    lines = read_metrics(logs / "metrics.jsonl")
    found = {
        "loss": lines[-1]["val_loss"],
        "tokens": lines[-1]["tokens"],
        "cpu_seconds": _processor_time() - before,
        "speed": statistics.median(line["time/tokens_per_second"] for line in lines),
        "parameters": json.loads((logs / "run.json").read_text(encoding="utf-8"))["parameters"],
    }
    for key in ("load_max", "router_entropy", "dead"):
        if f"experts/{key}" in lines[-1]:
            found[key] = statistics.mean(line[f"experts/{key}"] for line in lines[-20:])
    result.write_text(json.dumps(found), encoding="utf-8")
    return found


def in_words(found: dict) -> str:
    words = f"loss {found['loss']:.4f}, {found['cpu_seconds']:.0f} s of the processor, {found['speed']:,.0f} tokens/s"
    if "dead" in found:
        words += f", fullest expert {found['load_max']:.2f} times the mean, {found['dead']:.1f} without a token"
    return words


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    run_program(__doc__)
