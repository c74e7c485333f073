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


# What matters in a stage besides its loss, under its names in the lines; the first two that a run has are drawn.
BESIDES = "reward objective/kl rewards/accuracies accuracy rewards/margins margin kl explained token_accuracy".split()


def draw_loss_curve(lines: list[dict], path: str | Path, title: str) -> None:
    """Draws loss, what else matters, and learning rate over steps, of training and validation, as a PNG."""
    import matplotlib  # here: it takes a second to import

    matplotlib.use("Agg")
    from matplotlib import pyplot

    trained, final = [line for line in lines if line.get("loss") is not None], ""
    if not trained:
        return
    besides = [name for name in BESIDES if any({name, f"val_{name}"} & line.keys() for line in lines)]
    drawn = ["loss", *besides[:2], "lr"]
    heights = (4, *[1] * (len(drawn) - 1))
    figure, panels = pyplot.subplots(
        len(drawn), 1, figsize=(8, 2 + sum(heights)), sharex=True, height_ratios=heights, layout="constrained"
    )
    for name, panel in zip(drawn, panels):
        for key, color, kind in ((name, "tab:blue", "training"), (f"val_{name}", "tab:orange", "validation")):
            points = [(line["step"], line[key]) for line in lines if line.get(key) is not None]
            if not points:
                continue
            steps, values = zip(*points)
            if kind == "validation":
                panel.plot(steps, values, "o-", color=color, markersize=4, label="validation")
            elif name == "lr":
                panel.plot(steps, values, color="tab:green")
            else:
                curve = smoothed(values, max(1, len(values) / 50))
                panel.plot(steps, values, color=color, alpha=0.25, linewidth=0.8, label="training, each step")
                panel.plot(steps, curve, color=color, label="training, smoothed")
            final = f"{kind} {values[-1]:.3f}" if name == "loss" else final
        panel.set(ylabel=name.split("/")[-1])
        panel.grid(alpha=0.3)
    judged = any({"rewards/chosen", "mean_reward", "reward"} & line.keys() for line in trained)  # a loss per answer
    panels[0].set_title(f"{title}: {final} at step {trained[-1]['step']}")
    panels[0].set_ylabel("loss" if judged else "loss (nats per token)")
    panels[0].legend()
    panels[-1].set(xlabel="step", ylabel="learning rate")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # for a Chinese name that no installed font can show
        try:
            write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=110))
        finally:
            pyplot.close(figure)
