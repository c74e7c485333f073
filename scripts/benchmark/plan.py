"""Memory of a run: the estimate of its plan against the peak of one real step, by preset and batch."""

import re
import subprocess
import sys
from pathlib import Path

from scripts.benchmark.program import run_program

ROOT = Path(__file__).parents[2]
BATCHES = {"tiny": (8, 64), "26m": (4, 16), "64m": (4, 16)}  # rows of 512 at once


def compare(args) -> None:
    """Prints a line for each preset and batch: the estimate, the measured peak, and the difference."""
    print(f"{'preset':8} {'rows':>4}  {'said':>8}  {'measured':>8}  difference")
    for preset, sizes in BATCHES.items():
        for rows in sizes:
            said, measured = one_step(args, preset, rows)
            print(f"{preset:8} {rows:4}  {said:5.2f} GB  {measured:5.2f} GB  {said / measured - 1:+10.0%}", flush=True)


def one_step(args, preset: str, rows: int) -> tuple[float, float]:
    """(estimated, measured) GB of a dry run in its own process."""
    command = [sys.executable, "train_pretrain.py", "--preset", preset, "--batch_size", str(rows), "--dry_run"]
    command += ["--accumulation_steps", "1", "--compile", "off", "--out_dir", str(Path(args.out_dir).absolute())]
    command += ["--data_path", *(str(Path(path).absolute()) for path in args.data_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")
    said = re.search(r"memory +about ([\d.]+) GB", result.stdout)
    measured = re.search(r"at a peak of ([\d.]+) GB", result.stdout)
    return float(said[1]), float(measured[1])


if __name__ == "__main__":
    run_program(__doc__)
