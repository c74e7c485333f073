"""Is my loss normal? A verdict on the curve of a run, finished or not, and the one thing to try next.

    python scripts/diagnose.py out/logs/pretrain_512
    python scripts/diagnose.py out/logs/pretrain_512 out/logs/full_sft_512 --json

Takes log folders, their metrics.jsonl, weights (out/pretrain_512.pth) or names of weights in out (pretrain), and only
reads them. docs/diagnose.md tells what each verdict means and how
it is decided.
"""

import glob
import json
import os
import re
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import CommandParser, run_main  # not training.stages.arguments: this needs no torch
from model.errors import SproutError, UsageError
from training.diagnosis.diagnosis import describe, diagnose, is_judged
from training.diagnosis.known import read_description
from training.report.metrics import read_metrics


def main(argv=None) -> None:
    parser = CommandParser(__doc__)
    parser.add_argument("logs", nargs="+", metavar="FOLDER", help="log folders, weights, or names in out")
    parser.add_argument("--json", action="store_true", help="print each verdict as a line of JSON")
    args = parser.parse_args(argv)
    for path in args.logs:
        metrics = metrics_in(path)
        lines = read_metrics(metrics)
        if not lines:
            raise SproutError(f"{metrics} holds no step yet: look again when the run has begun")
        run = read_description(metrics.parent)
        if not is_judged(run):
            page = {"preference": "dpo", "distillation": "distill"}.get(run.kind, run.kind)
            raise SproutError(f"{metrics} is the curve of a {run.kind} loss, which has no verdict: see docs/{page}.md")
        verdict = diagnose(lines, run, metrics)
        if args.json:
            print(json.dumps({"logs": path, **asdict(verdict)}, ensure_ascii=False))
        else:
            print("\n".join([path, *describe(verdict)]))


def metrics_in(path: str) -> Path:
    """The metrics.jsonl that `path` is or holds. Raises `UsageError` where there is none."""
    found = Path(path) / "metrics.jsonl" if Path(path).is_dir() else Path(path)
    if not found.exists() or found.suffix == ".pth":  # a weight, or the name of one
        weight = found.with_suffix("") if found.suffix == ".pth" else "out" / found
        logs = sorted(weight.parent.glob(f"logs/{glob.escape(weight.name)}*/metrics.jsonl"), key=os.path.getmtime)
        logs = [each for each in logs if re.fullmatch(r"(_\d+)?", each.parent.name.removeprefix(weight.name))]
        found = logs[-1] if logs else found
    if found.is_file() and found.suffix == ".jsonl":
        return found
    what = "holds no metrics.jsonl" if Path(path).is_dir() else "is no log folder" if found.exists() else "is not there"
    raise UsageError(f"{path} {what}: give the log folder of a run, such as out/logs/pretrain_512")


if __name__ == "__main__":
    run_main(main)
