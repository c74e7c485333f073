"""`loss.png`: the loss of a run, what else matters in its stage, and the learning rate. Loaded only to draw it."""

import math
import warnings
from pathlib import Path

from model.disk import write_atomically


def smoothed(values: list[float], half_life: float) -> list[float]:
    """Exponential moving average without bias towards the start; non-finite values are ignored."""
    keep, average, weight, result = 0.5 ** (1 / half_life), 0.0, 0.0, []
    for value in values:
        if math.isfinite(value):
            average, weight = keep * average + (1 - keep) * value, keep * weight + (1 - keep)
        result.append(average / weight if weight else math.nan)
    return result


# What matters in a stage besides its loss, under its names in the lines; the first two that a run has are drawn.
BESIDES = ("rewards/accuracies", "accuracy", "rewards/margins", "margin", "kl", "explained", "token_accuracy")


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
    judged = any({"rewards/chosen", "mean_reward"} & line.keys() for line in trained)  # a loss per answer
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
