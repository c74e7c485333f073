"""The speed of a stage: a checkout's script as it is, watched through the `metrics.jsonl` that it writes."""

import json
import re
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from scripts.benchmark.gpu.programs import Failed, Program
from scripts.benchmark.gpu.sizes import Steps
from scripts.benchmark.program import run_program
from training.report.lines import flat

WATCHED = Path(__file__).parent / "watched.py"
ANSWER = 10  # seconds that a run may take to say how much memory it took
_BATCH = re.compile(r"^batch +(.*?)(?:  \(|$)", re.MULTILINE)
_COMPILE = re.compile(r"^device .*(compile .*)$", re.MULTILINE)


@dataclass(frozen=True)
class Rate:
    """The speed of a run between two of its steps, by the clock on the wall unless it is said otherwise."""

    steps: float  # a second
    tokens: float  # trained tokens a second
    within_steps: float  # seconds: the median of what the run itself measured as a step
    memory: int  # bytes at the peak, as the run says: what its tensors took; on a CPU what the process took
    reserved: int | None  # bytes at the peak that PyTorch held on the GPU, also for CUDA graphs; None: not known
    first: float  # seconds from the start of the program to the end of the first step
    plan: str  # how many rows a step has, and whether it is compiled, in the run's words


def run_rate(checkout: Path, out: Path, script: str, words: list, steps: Steps, program: dict) -> Rate:
    """Runs a stage until `steps` have followed its warm-up, then kills it: it never saves.

    out: its --out_dir. program: what `Program` takes besides. Raises `Failed` if it ends before the least steps.
    """
    logs, answer = out / "logs", out / "memory.json"
    shutil.rmtree(logs, ignore_errors=True)
    answer.unlink(missing_ok=True)
    quiet = "--save_interval 1000000 --eval_interval 0 --sample_interval 0 --log_interval 50"
    words = ["-P", WATCHED, answer, script, *words, *quiet.split(), "--out_dir", out]
    started = time.monotonic()
    with Program(words, checkout, **program) as running:
        metrics = Lines(logs)

        def reach(step: int) -> tuple[float, int]:
            if not running.until(lambda: metrics.count() >= step):
                raise Failed(f"the run had only {metrics.count()} steps: give more data")
            return time.monotonic(), metrics.count()

        first = reach(1)[0] - started
        begun, at_begin = ended, at_end = reach(steps.warm_up)

        def enough() -> bool:
            nonlocal ended, at_end
            if (count := metrics.count()) > at_end:
                ended, at_end = time.monotonic(), count
            made = at_end - at_begin
            return made >= steps.most or (made >= steps.least and ended - begun >= steps.seconds)

        if not running.until(enough) and at_end - at_begin < steps.least:
            raise Failed(f"the run had only {metrics.count()} steps: give more data")
        reserved = _reserved(running, answer)
        plan = _plan(running.text())
    lines, seconds = metrics.read(), ended - begun
    tokens = lines[at_end - 1]["tokens"] - lines[at_begin - 1]["tokens"]
    within = median(line["time/seconds"] for line in lines[at_begin:at_end])
    memory = lines[at_end - 1]["time/memory"]
    return Rate((at_end - at_begin) / seconds, tokens / seconds, within, memory, reserved, first, plan)


def _reserved(running: Program, answer: Path) -> int | None:
    running.ask(signal.SIGUSR1)
    until = time.monotonic() + ANSWER
    try:
        running.until(lambda: answer.exists() or time.monotonic() > until)
    except Failed:  # its time is over just now: its speed is measured all the same
        return None
    return json.loads(answer.read_text(encoding="utf-8"))["reserved"] if answer.exists() else None


def _plan(printed: str) -> str:
    return "; ".join(found[1] for pattern in (_BATCH, _COMPILE) if (found := pattern.search(printed)))


class Lines:
    """The lines of the one `metrics.jsonl` under a folder, while it is being written."""

    def __init__(self, logs: Path):
        self._logs = logs
        self._path: Path | None = None
        self._bytes = b""  # read so far
        self._count = 0

    def count(self) -> int:
        """How many there are; reads only what is new."""
        if self._path is None:
            self._path = next(self._logs.glob("*/metrics.jsonl"), None)
        if self._path is not None and self._path.exists():
            with open(self._path, "rb") as file:
                file.seek(len(self._bytes))
                if new := file.read():
                    self._bytes += new
                    self._count += new.count(b"\n")
        return self._count

    def read(self) -> list[dict]:
        self.count()
        return [flat(json.loads(line)) for line in self._bytes.split(b"\n")[:-1]]  # the last may not be whole


def weight_in(folder: Path) -> Path:
    """The one weight of a folder, beside which states and earlier generations may lie. Raises `Failed`."""
    found = [path for path in folder.glob("*.pth") if "." not in path.stem and not path.stem.endswith("_resume")]
    if len(found) != 1:
        raise Failed(f"{folder} has {len(found)} weights instead of one: {[path.name for path in found]}")
    return found[0]


def weight_of(checkout: Path, out: Path, words: list, program: dict) -> Path:
    """A weight of the network that `words` describe, after one small step, to begin a later stage with."""
    place = out / "weight"
    shutil.rmtree(place, ignore_errors=True)
    words = ["train_pretrain.py", *words, "--max_steps", 1, "--batch_size", 1, "--accumulation_steps", 1]
    words += ["--compile", "off", "--eval_interval", 0, "--sample_interval", 0, "--out_dir", place]
    with Program(words, checkout, **program) as running:
        running.wait()
    return weight_in(place)


if __name__ == "__main__":
    run_program(__doc__)
