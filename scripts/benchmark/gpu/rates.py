"""The speed of a stage: a checkout's script as it is, watched through the `metrics.jsonl` that it writes."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from scripts.benchmark.gpu.programs import Failed, Program
from scripts.benchmark.program import run_program
from training.report.lines import flat


@dataclass(frozen=True)
class Rate:
    """The speed of a run between two of its steps, by the clock on the wall unless it is said otherwise."""

    steps: float  # a second
    tokens: float  # trained tokens a second
    within_steps: float  # seconds: the median of what the run itself measured as a step
    memory: int  # bytes at the peak
    first: float  # seconds from the start of the program to the end of the first step


def run_rate(checkout: Path, out: Path, script: str, words: list, warm_up: int, steps: int, deadline: float) -> Rate:
    """Runs a stage until `steps` more steps have followed `warm_up`, then ends it.

    Raises `Failed` if it ends before. `out`: its --out_dir. It neither saves nor validates in between.
    """
    logs = out / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    quiet = "--save_interval 1000000 --eval_interval 0 --sample_interval 0 --log_interval 50"
    words = [script, *words, *quiet.split(), "--out_dir", out]
    started = time.monotonic()
    with Program(words, checkout, out / "printed.txt", deadline) as program:
        metrics = Lines(logs)

        def reach(step: int) -> tuple[float, int]:
            if not program.until(lambda: metrics.count() >= step):
                raise Failed(f"the run had only {metrics.count()} steps: give more data")
            return time.monotonic(), metrics.count()

        first = reach(1)[0] - started
        begun, at_begin = reach(warm_up)
        ended, at_end = reach(at_begin + steps)
        seconds = ended - begun
    lines = metrics.read()
    tokens = lines[at_end - 1]["tokens"] - lines[at_begin - 1]["tokens"]
    within = median(line["time/seconds"] for line in lines[at_begin:at_end])
    return Rate((at_end - at_begin) / seconds, tokens / seconds, within, lines[at_end - 1]["time/memory"], first)


class Lines:
    """The lines of the one `metrics.jsonl` under a folder, while it is being written."""

    def __init__(self, logs: Path):
        self._logs = logs
        self._file = None

    def count(self) -> int:
        return len(self._whole())

    def read(self) -> list[dict]:
        return [flat(json.loads(line)) for line in self._whole()]

    def _whole(self) -> list[bytes]:
        if self._file is None:
            self._file = next(self._logs.glob("*/metrics.jsonl"), None)
        if self._file is None or not self._file.exists():
            return []
        return self._file.read_bytes().split(b"\n")[:-1]  # the last may not be written to its end


def weight_of(checkout: Path, out: Path, words: list, deadline: float) -> Path:
    """A weight of the network that `words` describe, after one small step, to begin a later stage with."""
    place = out / "weight"
    words = ["train_pretrain.py", *words, "--max_steps", 1, "--batch_size", 1, "--accumulation_steps", 1]
    words += ["--compile", "off", "--eval_interval", 0, "--sample_interval", 0, "--out_dir", place]
    with Program(words, checkout, out / "printed.txt", deadline) as program:
        program.wait()
    return next(path for path in place.glob("pretrain_*.pth") if not path.stem.endswith("_resume"))


if __name__ == "__main__":
    run_program(__doc__)
