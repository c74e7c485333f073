"""The logs of a run: `metrics.jsonl`, TensorBoard events and `loss.png`, in out/logs/<weight>_<hidden>/."""

import json
import math
import time
from pathlib import Path

from model.disk import write_atomically
from model.errors import SproutError
from training.report.appending import Appending, Events


class Metrics:
    """Writes a line per step. A run resumed at step n first deletes every later line, so that no step occurs twice."""

    def __init__(self, folder: str | Path, resume_step: int = 0):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / "metrics.jsonl"
        self._next_drawing = 0.0
        lines = read_metrics(self.path) if self.path.exists() else []
        kept = [_as_text(line) for line in lines if line["step"] <= resume_step]
        write_atomically(self.path, lambda file: file.write("".join(kept).encode()))
        self.kept = len(kept)  # lines up to step n
        self._file = Appending(self.path)
        self.events = Events(self.folder, purge_step=resume_step + 1 if resume_step else None)

    def write(self, line: dict) -> None:
        """Appends `line` (with a `step`, and no objects in it); numbers go to TensorBoard too.

        JSON has no NaN: it becomes null. Raises `SproutError` if the disk is full.
        """
        line = {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in line.items()}
        self._file.write(_as_text(line).encode())
        for name, value in numbers_of(line).items():
            self.events.scalar(name, value, line["step"])
        self.events.flush()

    def draw(self, sparingly: bool = False) -> None:
        """Redraws `loss.png` from all lines; with `sparingly`, only so often that it takes at most 2 % of the time."""
        started = time.monotonic()
        if sparingly and started < self._next_drawing:
            return
        if len(lines := read_metrics(self.path)) < 3:  # a curve has more points
            return
        from training.report.loss_curve import draw_loss_curve

        draw_loss_curve(lines, self.folder / "loss.png", self.folder.name)
        self._next_drawing = started + 50 * (time.monotonic() - started)

    def sync(self) -> None:
        """Forces what was written onto the disk (before a checkpoint that relies on it)."""
        self._file.sync()

    def close(self) -> None:
        self._file.close()
        self.events.close()


def _as_text(line: dict) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"


def numbers_of(line: dict) -> dict[str, float]:
    """The numbers of a line by name, without its step."""
    numbers = {name: value for name, value in line.items() if isinstance(value, int | float) and name != "step"}
    return {name: value for name, value in numbers.items() if not isinstance(value, bool)}


def flat(line: dict) -> dict:
    """`line` without nesting: what earlier versions wrote as {"time": {"seconds": 1}} is {"time/seconds": 1}."""
    times = line.get("time", {})
    return {name: value for name, value in line.items() if name != "time"} | {f"time/{n}": v for n, v in times.items()}


def read_metrics(path: str | Path) -> list[dict]:
    """The lines of a `metrics.jsonl`, without a last line that a kill cut short."""
    lines = []
    with open(path, "rb") as file:
        for number, text in enumerate(file, 1):
            if not text.endswith(b"\n"):
                break
            try:
                line = json.loads(text)
                if not isinstance(line, dict) or not isinstance(line.get("step"), int):
                    raise ValueError("it is not a line of a step")
            except ValueError as error:
                raise SproutError(f"{path}:{number} is damaged ({error}): move the file away, or repair it") from error
            lines.append(flat(line))
    return lines
