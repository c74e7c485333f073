"""The logs of a run: `metrics.jsonl`, TensorBoard events and `loss.png`, in out/logs/<weight>_<hidden>/."""

import json
import math
import time
import warnings
from pathlib import Path

from model.disk import write_atomically
from model.errors import SproutError
from training.report.appending import Appending, Events


class Metrics:
    """Writes a line per step. A run resumed at step n first deletes every later line, so that no step occurs twice.

    `missing`: how many of the lines up to n are missing.
    """

    def __init__(self, folder: str | Path, resume_step: int = 0):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / "metrics.jsonl"
        self._next_drawing = 0.0
        self.missing = self._keep_until(resume_step)
        self._file = Appending(self.path)
        self.events = Events(self.folder, purge_step=resume_step + 1 if resume_step else None)

    def write(self, line: dict) -> None:
        """Appends `line` (with a `step`); numbers go to TensorBoard too.

        JSON has no NaN: it becomes null. Raises `SproutError` if the disk is full.
        """
        line = {name: None if _not_finite(value) else value for name, value in line.items()}
        self._file.write(_as_text(line).encode())
        step = line["step"]
        for name, value in {**line, **line.get("time", {})}.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and name != "step":
                self.events.scalar(name, value, step)
        self.events.flush()

    def draw(self, sparingly: bool = False) -> None:
        """Redraws `loss.png` from all lines; with `sparingly`, only so often that it takes at most 2 % of the time."""
        started = time.monotonic()
        if sparingly and started < self._next_drawing:
            return
        draw_loss_curve(read_metrics(self.path), self.folder / "loss.png", self.folder.name)
        self._next_drawing = started + 50 * (time.monotonic() - started)

    def sync(self) -> None:
        """Forces what was written onto the disk (before a checkpoint that relies on it)."""
        self._file.sync()

    def close(self) -> None:
        self._file.close()
        self.events.close()

    def _keep_until(self, step: int) -> int:
        """Deletes every line after `step`; returns how many of the lines up to it are missing."""
        lines = read_metrics(self.path) if self.path.exists() else []
        kept = "".join(_as_text(line) for line in lines if line["step"] <= step)
        write_atomically(self.path, lambda file: file.write(kept.encode()))
        return step - kept.count("\n")


def _as_text(line: dict) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"


def _not_finite(value) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


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
            lines.append(line)
    return lines


def smoothed(values: list[float], half_life: float) -> list[float]:
    """Exponential moving average without bias towards the start; non-finite values are ignored."""
    keep, average, weight, result = 0.5 ** (1 / half_life), 0.0, 0.0, []
    for value in values:
        if math.isfinite(value):
            average, weight = keep * average + (1 - keep) * value, keep * weight + (1 - keep)
        result.append(average / weight if weight else math.nan)
    return result


def draw_loss_curve(lines: list[dict], path: str | Path, title: str) -> None:
    """Draws training and validation loss over steps, the learning rate below, as a PNG."""
    import matplotlib  # here: it takes a second to import

    matplotlib.use("Agg")
    from matplotlib import pyplot

    trained = [line for line in lines if line.get("loss") is not None]
    if not trained:
        return
    steps = [line["step"] for line in trained]
    losses = [line["loss"] for line in trained]
    measured = [line for line in lines if line.get("val_loss") is not None]
    figure, (upper, lower) = pyplot.subplots(
        2, 1, figsize=(8, 6), sharex=True, height_ratios=(4, 1), layout="constrained"
    )
    upper.plot(steps, losses, color="tab:blue", alpha=0.25, linewidth=0.8, label="training loss, each step")
    upper.plot(steps, smoothed(losses, max(1, len(losses) / 50)), color="tab:blue", label="training loss, smoothed")
    if measured:
        upper.plot(
            [line["step"] for line in measured],
            [line["val_loss"] for line in measured],
            "o-",
            color="tab:orange",
            markersize=4,
            label="validation loss",
        )
    final = f"validation {measured[-1]['val_loss']:.3f}" if measured else f"training {losses[-1]:.3f}"
    judged = any(name in trained[0] for name in ("rewards/margins", "mean_reward"))  # a loss per answer
    upper.set(ylabel="loss" if judged else "loss (nats per token)", title=f"{title}: {final} at step {steps[-1]}")
    upper.legend()
    upper.grid(alpha=0.3)
    lower.plot(steps, [line["lr"] for line in trained], color="tab:green")
    lower.set(xlabel="step", ylabel="learning rate")
    lower.grid(alpha=0.3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # for a Chinese name that no installed font can show
        try:
            write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=110))
        finally:
            pyplot.close(figure)
