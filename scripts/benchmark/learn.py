"""What a small network learns from 2 M tokens: recipe against recipe, same network and data.

A recipe is an optimizer with its learning rate, batch and schedule.
A fixed shuffled selection of the files' documents is written once; every run is `train_pretrain.py` itself
over one epoch of it and is judged by the bits per byte of held-out documents at its end. A run that is
already there is not run again.
"""

import json
import random
import statistics
import subprocess
import sys
from pathlib import Path

from scripts.benchmark.program import run_program
from training.report.lines import read_metrics

ROOT = Path(__file__).parents[2]
TOKENS, VALIDATION_DOCUMENTS, ROW_LENGTH = 2_000_000, 120, 512

NETWORK = (
    "--hidden_size 256 --num_hidden_layers 8 --num_attention_heads 4 --num_key_value_heads 2"
    " --intermediate_size 768 --qk_norm --max_seq_len 512"
)
RECIPES = {
    # MiniMind's defaults: 131,072 tokens a step, cosine to a tenth, no warm-up, PyTorch's betas and decay.
    "minimind": "--optimizer adamw --learning_rate 5e-4 --adam_beta2 0.999 --weight_decay 0.01 --schedule cosine"
    " --warmup_steps 0 --batch_size 16 --accumulation_steps 16",
    "adamw": "--optimizer adamw",  # everything by the rule of training/engine/plan.py
    "muon": "--optimizer muon",
}


def compare(args) -> None:
    """Runs every recipe with every seed and prints a table of bits per byte."""
    files = "+".join(Path(path).name.split(".")[0] for path in args.data_path)
    folder = Path(args.out_dir).absolute() / "learn" / files
    training, validation = select_documents([Path(path) for path in args.data_path], folder)
    table = {}
    for recipe in args.recipes or RECIPES:
        flags = RECIPES[recipe] if recipe in RECIPES else recipe  # or flags, in quotes
        table[recipe] = []
        for seed in range(args.seeds):
            value = run(flags, f"{_name(recipe)}_seed{seed}", seed, training, validation, folder)
            table[recipe].append(value)
            print(f"{recipe}, seed {seed}: {value:.4f} bits per byte", flush=True)
    for recipe, values in table.items():
        spread = max(values) - min(values)
        print(f"{recipe:10} {statistics.mean(values):.4f} bits per byte, mean of {len(values)} (spread {spread:.4f})")
    print(json.dumps(table))


def _name(recipe: str) -> str:
    return "".join(c if c.isalnum() or c == "." else "_" for c in recipe).strip("_")


def select_documents(paths: list[Path], folder: Path) -> tuple[Path, Path]:
    """Writes and returns the selection: documents of all files, shuffled by a fixed seed, up to `TOKENS` tokens."""
    training, validation = folder / "selection.jsonl", folder / "validation.jsonl"
    if training.exists() and validation.exists():
        return training, validation
    from model.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load()
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    random.Random(0).shuffle(lines)
    held_out, rest = lines[:VALIDATION_DOCUMENTS], lines[VALIDATION_DOCUMENTS:]
    chosen, tokens = [], 0
    for line in rest:
        tokens += len(tokenizer.encode(json.loads(line)["text"])) + 2
        chosen.append(line)
        if tokens >= TOKENS:
            break
    folder.mkdir(parents=True, exist_ok=True)
    validation.write_text("\n".join(held_out) + "\n", encoding="utf-8")
    training.write_text("\n".join(chosen) + "\n", encoding="utf-8")
    print(f"selected {len(chosen)} documents, {tokens:,} tokens; {len(held_out)} held out")
    return training, validation


def run(flags: str, name: str, seed: int, training: Path, validation: Path, folder: Path) -> float:
    """Bits per byte on the held-out documents at the end of one run."""
    metrics = folder / "runs" / "logs" / f"{name}_256" / "metrics.jsonl"
    value = _final_value(metrics)
    if value is None:
        command = [sys.executable, "train_pretrain.py", "--data_path", training, "--val_path", validation]
        command += [*NETWORK.split(), *flags.split(), "--seed", seed, "--weight_name", name]
        command += ["--out_dir", folder / "runs", "--eval_interval", 1_000_000, "--sample_interval", 0]
        subprocess.run(list(map(str, command)), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        value = _final_value(metrics)
    return value


def _final_value(metrics: Path) -> float | None:
    """The last validation in a finished run's metrics; None if there is none, as in one that was killed."""
    lines = read_metrics(metrics) if metrics.exists() else []
    return lines[-1].get("val_bits_per_byte") if lines else None


if __name__ == "__main__":
    run_program(__doc__)
