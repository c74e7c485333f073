"""The logs of a run: `metrics.jsonl`, TensorBoard events and `loss.png`, in out/logs/<weight>_<hidden>/."""

import math
import time
from pathlib import Path

from training.report.appending import Appending, Events, as_text


class Metrics:
    """Writes a line per step. A run resumed at step n first deletes every later line, so that no step occurs twice."""

    def __init__(self, folder: str | Path, resume_step: int = 0):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / "metrics.jsonl"
        self._next_drawing = 0.0
        self.kept = 0  # lines in the file
        if any(self.folder.glob("*.jsonl")):
            from training.report.kept import keep_until  # a run that begins anew does not load it

            self.kept = keep_until(resume_step, self.folder)
        self._file = Appending(self.path)
        self.events = Events(self.folder, purge_step=resume_step + 1 if resume_step else None)

    def write(self, line: dict) -> None:
        """Appends `line` (with a `step`, and no objects in it); numbers go to TensorBoard too.

        JSON has no NaN: it becomes null. Raises `SproutError` if the disk is full.
        """
        line = {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in line.items()}
        self._file.write(as_text(line))
        self.kept += 1
        for name, value in numbers_of(line).items():
            self.events.scalar(name, value, line["step"])
        self.events.flush()

    def keep(self, step: int, samples: list[dict]) -> None:
        """Appends what the network wrote after a step to `samples.jsonl`."""
        if samples:
            file = Appending(self.folder / "samples.jsonl")
            file.write(b"".join(as_text({"step": step} | each) for each in samples))
            file.close()

    def draw(self, sparingly: bool = False) -> None:
        """Redraws `loss.png` from all lines; with `sparingly`, only so often that it takes at most 2 % of the time."""
        started = time.monotonic()
        if sparingly and started < self._next_drawing:
            return
        if self.kept < 3:  # a curve has more points
            return
        from training.report.lines import read_metrics
        from training.report.loss_curve import draw_loss_curve

        draw_loss_curve(read_metrics(self.path), self.folder / "loss.png", self.folder.name)
        self._next_drawing = started + 50 * (time.monotonic() - started)

    def sync(self) -> None:
        """Forces what was written onto the disk (before a checkpoint that relies on it)."""
        self._file.sync()

    def close(self) -> None:
        self._file.close()
        self.events.close()


def numbers_of(line: dict) -> dict[str, float]:
    """The numbers of a line by name, without its step."""
    numbers = {name: value for name, value in line.items() if isinstance(value, int | float) and name != "step"}
    return {name: value for name, value in numbers.items() if not isinstance(value, bool)}
