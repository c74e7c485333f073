"""What a resumed run keeps of its logs: the lines up to the step at which it goes on. And what a run does without them.

Few runs load this.
"""

import json
import sys
from pathlib import Path

from model.disk import write_atomically
from model.json_text import json_text
from training.report.lines import read_metrics


def keep_until(step: int, folder: Path) -> int:
    """Removes all lines of later steps from metrics.jsonl and samples.jsonl; returns how many metrics.jsonl keeps.

    Raises `SproutError` for a damaged metrics.jsonl. A damaged sample is removed: nothing is computed from samples.
    """
    metrics, samples = folder / "metrics.jsonl", folder / "samples.jsonl"
    lines = read_metrics(metrics) if metrics.exists() else []
    kept = [json_text(line).encode() + b"\n" for line in lines if line["step"] <= step]
    write_atomically(metrics, lambda file: file.write(b"".join(kept)))
    if samples.exists():
        written = [line for line in samples.read_bytes().splitlines(keepends=True) if _step_of(line) <= step]
        write_atomically(samples, lambda file: file.write(b"".join(written)))
    return len(kept)


def _step_of(line: bytes) -> float:
    try:
        return json.loads(line)["step"] if line.endswith(b"\n") else float("inf")
    except (ValueError, KeyError, TypeError):  # a line that a killed run has left half written
        return float("inf")


def begin_anew(metrics) -> None:
    """Opens the files of a `training.report.metrics.Metrics` again where somebody has moved or removed them: training
    goes on, and what was written since the file went is lost with it."""
    metrics._file.close()
    metrics.events.close()
    metrics._file, metrics.events = type(metrics._file)(metrics.path), type(metrics.events)(metrics.folder)
    metrics.kept = 0
    metrics.describe()
    print(f"warning: {metrics.path} is gone while the run writes it: its curve begins anew", file=sys.stderr)
