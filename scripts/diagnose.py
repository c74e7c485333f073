"""Is my loss normal? A verdict on the curve of a run, finished or not, and the one thing to try next.

    python scripts/diagnose.py out/logs/pretrain_512
    python scripts/diagnose.py out/logs/pretrain_512 out/logs/full_sft_512 --json
    python scripts/diagnose.py out                                       # all runs in it, those of adapters included

Takes log folders, their metrics.jsonl, weights (out/pretrain_512.pth) or names of weights in out (pretrain), and only
reads them. docs/diagnose.md tells what each verdict means and how it is decided.
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
from training.diagnosis.diagnosis import describe, diagnose
from training.diagnosis.known import read_description
from training.diagnosis.verdict import Verdict
from training.report.lines import read_metrics


def main(argv=None) -> None:
    parser = CommandParser(__doc__)
    parser.add_argument("logs", nargs="+", metavar="FOLDER", help="log folders, weights, or names in out")
    parser.add_argument("--json", action="store_true", help="print each verdict as a line of JSON")
    args = parser.parse_args(argv)
    failures, judged = [], set()
    for path in [log for each in args.logs for log in logs_in(each)]:
        try:
            metrics = metrics_in(path)
            if metrics.resolve() in judged:  # it is named twice, say in `out out/logs`
                continue
            judged.add(metrics.resolve())
            verdict = verdict_on(metrics)
        except SproutError as error:  # the others are judged all the same
            failures.append(error)
            continue
        if args.json:
            print(json.dumps({"logs": path, **asdict(verdict)}, ensure_ascii=False))
        else:
            print("\n".join([path, *describe(verdict)]))
    if failures:
        sys.stdout.flush()
        raise type(failures[0])("; ".join(map(str, failures)))


def verdict_on(metrics: Path) -> Verdict:
    lines = read_metrics(metrics)
    if not lines:
        raise SproutError(f"{metrics} holds no step yet: look again when the run has begun")
    return diagnose(lines, read_description(metrics.parent), metrics)


def logs_in(path: str) -> list[str]:
    """The log folders in a folder of them (out/logs), or in an output folder (out), or `path` itself."""
    folder, places = Path(path), ("*", "logs/*", "lora/logs/*")
    found = [each for place in places for each in sorted(folder.glob(f"{place}/metrics.jsonl"))]
    within = [] if (folder / "metrics.jsonl").exists() else found
    return [str(metrics.parent) for metrics in within] or [path]


def metrics_in(path: str) -> Path:
    """The metrics.jsonl that `path` is or holds. Raises `UsageError` where there is none."""
    found = Path(path) / "metrics.jsonl" if Path(path).is_dir() else Path(path)
    if not found.exists() or found.suffix == ".pth":  # a weight, or the name of one
        weight = found.with_suffix("") if found.suffix == ".pth" else "out" / found
        places = (
            f"logs/{glob.escape(weight.name)}*/metrics.jsonl",
            f"lora/logs/{glob.escape(weight.name)}*/metrics.jsonl",
        )
        logs = sorted((each for place in places for each in weight.parent.glob(place)), key=os.path.getmtime)
        logs = [each for each in logs if re.fullmatch(r"(_\d+)?", each.parent.name.removeprefix(weight.name))]
        found = logs[-1] if logs else found
    if found.is_file() and _is_log(found):
        return with_folders(found)
    if Path(path).is_dir():
        what = "holds no metrics.jsonl"
    else:
        what = "is no log folder" if found.exists() else "is not there"
    raise UsageError(f"{path} {what}: give the log folder of a run, such as out/logs/pretrain_512")


def _is_log(file: Path) -> bool:
    """Whether it is a metrics.jsonl, or a copy of one under another name."""
    if file.name == "metrics.jsonl":
        return True
    with open(file, "rb") as lines:
        return file.suffix == ".jsonl" and b'"step"' in lines.readline(10_000)


def with_folders(metrics: Path) -> Path:
    """The path with the folders that name the run and its place, which one from within them leaves out."""
    folders = metrics.parts[-4:-1]
    return metrics if len(folders) == 3 and ".." not in folders else metrics.resolve()


if __name__ == "__main__":
    run_main(main)
