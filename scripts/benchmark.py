"""Measurements behind the figures in docs/; each is a file in `scripts/benchmark/`. See --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from scripts.benchmark.command import main
from training.stages.arguments import run_main

if __name__ == "__main__":
    run_main(main)
