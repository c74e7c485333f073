"""Fits the loss to expect of a pretraining run (`training/diagnosis/expected_loss.py`) to finished runs.

    python scripts/benchmark/fit_expected_loss.py              # the known points, and their fit
    python scripts/benchmark/fit_expected_loss.py out/logs/pretrain_512   # with finished runs of your own

A run must have all defaults except size and length: a new network, the shipped tokenizer, prose.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import CommandParser, run_main
from model.errors import SproutError
from scripts.diagnose import metrics_in
from training.diagnosis.expected_loss import POINTS, Point, fit
from training.diagnosis.known import read_description
from training.report.lines import read_metrics


def main(argv=None) -> None:
    parser = CommandParser(__doc__)
    parser.add_argument("logs", nargs="*", metavar="FOLDER", help="log folders of finished runs")
    args = parser.parse_args(argv)
    points = [*POINTS, *map(point_of, args.logs)]
    law = fit(points)
    print("parameters       tokens  bits per byte   fitted")
    for point in points:
        fitted = law.bits_per_byte(point.parameters, point.tokens)
        off = fitted / point.bits_per_byte - 1
        print(f"{point.parameters:10,} {point.tokens:12,} {point.bits_per_byte:14.4f} {fitted:8.4f} {off:+7.1%}")
    print(f"bits per byte = {law.c:.5g} N^{law.a:.5g} / D^({law.b:.5g} + {law.g:.5g} ln N)")


def point_of(path: str) -> Point:
    """The point of a finished run. Raises `SproutError` for a run that cannot be one."""
    metrics = metrics_in(path)
    lines, run = read_metrics(metrics), read_description(metrics.parent)
    last = lines[-1] if lines and isinstance(lines[-1], dict) else {}
    bits, tokens = last.get("val_bits_per_byte"), last.get("tokens")
    if not (run and run.parameters and run.steps == last.get("step") and bits and tokens):
        raise SproutError(f"{path} holds no finished pretraining run with run.json and a last validation: leave it out")
    return Point(run.parameters, tokens, bits)


if __name__ == "__main__":
    run_main(main)
