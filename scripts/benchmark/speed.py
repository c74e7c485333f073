"""Speed of a stage: trained tokens per second of its script, and of the plain baseline (`scripts.benchmark.baseline`).

The two run in turns, each in its own process, so that a machine that slows down affects both.
"""

import json
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark.baseline import WARM_UP_STEPS
from scripts.benchmark.program import run_program
from training.report.lines import read_metrics

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Speed:
    """A stage to measure, on rows of `row_length`."""

    script: str
    kind: str  # kind of data
    row_length: int


STAGES = {"train": Speed("train_pretrain.py", "text", 512), "sft": Speed("train_full_sft.py", "chat", 768)}


def compare(args) -> None:
    """Prints a line per round and the median of the ratios; with --profile, also how our time is spent."""
    if args.profile:
        from scripts.benchmark.profile import profile

        profile(args)
        return
    ours, baselines = [], []
    for round_number in range(1, args.rounds + 1):
        baseline = run_baseline(args, STAGES[args.what])
        own = run_stage(args, STAGES[args.what])
        baselines.append(baseline)
        ours.append(own)
        print(
            f"round {round_number}: baseline {baseline:,.0f}, ours {own:,.0f} trained tokens/s,"
            f" ratio {own / baseline:.2f}",
            flush=True,
        )
    ratio = statistics.median(own / baseline for own, baseline in zip(ours, baselines))
    result = {
        "baseline": round(statistics.median(baselines)),
        "ours": round(statistics.median(ours)),
        "ratio": round(ratio, 2),
        "rounds": args.rounds,
    }
    print(json.dumps(result))


def run_stage(args, stage: Speed) -> float:
    """Trained tokens per second of the real script, compiled, without its first steps."""
    out = Path(args.out_dir).absolute() / args.what
    for part in ("logs", "earlier"):
        shutil.rmtree(out / part, ignore_errors=True)
    steps = args.steps + WARM_UP_STEPS
    command = [sys.executable, stage.script, "--data_path", *_absolute(args.data_path)]
    command += ["--batch_size", str(args.batch_size), "--accumulation_steps", "1", "--max_steps", str(steps)]
    command += ["--max_seq_len", str(stage.row_length), "--compile", "on", "--eval_interval", "0"]
    command += ["--sample_interval", "0", "--out_dir", str(out), "--save_interval", "1000000"]
    if stage.kind == "chat":
        command += ["--from_weight", str(untrained_weight(out / "untrained.pth"))]
    _run(command)
    (metrics,) = (out / "logs").glob("*/metrics.jsonl")
    lines = read_metrics(metrics)
    seconds = sum(line["time/seconds"] for line in lines[WARM_UP_STEPS:])
    return (lines[-1]["tokens"] - lines[WARM_UP_STEPS - 1]["tokens"]) / seconds


def untrained_weight(path: Path) -> Path:
    """A new network of the default preset to fine-tune, since the speed does not depend on the weights."""
    if not path.exists():
        from model.config import PRESETS
        from model.files.checkpoint import save_weights
        from model.text.tokenizer import Tokenizer
        from model.transformer import Transformer

        tokenizer = Tokenizer.load()
        config = PRESETS["26m"].replace(vocab_size=tokenizer.vocab_size)
        save_weights(path, Transformer(config), tokenizer, stage="pretrain")
    return path


def run_baseline(args, stage: Speed) -> float:
    """Trained tokens per second of the baseline."""
    numbers = (stage.row_length, args.batch_size, args.steps)
    command = [sys.executable, "-m", "scripts.benchmark.baseline", stage.kind, *map(str, numbers)]
    return float(_run(command + _absolute(args.data_path)).split()[-1])


def _run(command: list[str]) -> str:
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def _absolute(paths) -> list[str]:
    return [str(Path(path).absolute()) for path in paths]


if __name__ == "__main__":
    run_program(__doc__)
