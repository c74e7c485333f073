"""`loss.png`: the loss of a run, what else matters in its stage, and the learning rate. Loaded only to draw it."""

import math
import textwrap
import warnings
from pathlib import Path

import numpy as np

from model.disk import write_atomically

FEWEST_IN_VIEW, FAR_OFF = 20, 10  # values, of which none is a spike; times what is usual
TITLE_WIDTH = 72  # characters: a wider title would be cut at both ends


def trend(values: list[float]) -> list[float]:
    """The curve without its noise: a moving average to both sides.

    One from the left alone lags behind a falling loss, and so would lie above validation. Half-lives are a fiftieth of
    the run, but shorter at its beginning, where the loss falls steeply.
    """
    if view := view_of(values):  # one odd batch would bend the mean of all the steps around it
        values = [value if view[0] <= value <= view[1] else math.nan for value in values]
    half_lives = [max(1.0, min(len(values) / 50, step / 10)) for step in range(1, len(values) + 1)]
    left, right = _moving_sums(values, half_lives), _moving_sums(values[::-1], half_lives[::-1])[::-1]
    return [(a + b) / (v + w) if v + w else math.nan for (a, v), (b, w) in zip(left, right)]


def view_of(values) -> tuple[float, float] | None:
    """The least and the largest value to show where a few spikes would flatten the curve; None: all are shown."""
    found = np.array(values, float)
    found = found[np.isfinite(found)]
    if len(found) < FEWEST_IN_VIEW:
        return None
    low, high = np.quantile(found, 0.02, method="higher"), np.quantile(found, 0.98, method="lower")
    room = high - low
    if room <= 0 or (found.max() <= high + FAR_OFF * room and found.min() >= low - FAR_OFF * room):
        return None
    return max(found.min(), low - room), min(found.max(), high + room)


def show_within(axes, steps, values, held_out=()) -> str:
    """Limits the axis of values where a few spikes would flatten the curve; says what is not shown then, else nothing.

    held_out: values that are drawn, too, and stay in sight.
    """
    if (view := view_of(values)) is None:
        return ""
    shown = [*view, *filter(math.isfinite, held_out)]
    low, high = min(shown), max(shown)
    margin = 0.05 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    points = [(step, value) for step, value in zip(steps, values) if math.isfinite(value)]
    beyond, step, value = max((max(value - high, low - value), step, value) for step, value in points)
    if beyond <= margin:  # validation goes as far
        return ""
    return f"not shown: {'up' if value > high else 'down'} to {value:,.4g} at step {step:,}"


def _moving_sums(values: list[float], half_lives: list[float]) -> list[tuple[float, float]]:
    """(sum, weight) of the values up to each, an older one weighing less by `decay` for each value after it; those that
    are not finite are passed over. A sum over its weight has no bias towards 0, with which both begin."""
    total, weight, result = 0.0, 0.0, []
    for value, half_life in zip(values, half_lives, strict=True):
        if math.isfinite(value):
            decay = 0.5 ** (1 / half_life)
            total, weight = decay * total + (1 - decay) * value, decay * weight + (1 - decay)
        result.append((total, weight))
    return result


# What matters in a stage besides its loss, under its names in the lines; the first two that a run has are drawn.
BESIDES = "reward objective/kl rewards/accuracies accuracy rewards/margins margin kl explained token_accuracy".split()


def draw_loss_curve(lines: list[dict], path: str | Path, title: str) -> None:
    """Draws loss, what else matters, and learning rate over steps, of training and validation, as a PNG.

    Of a run that learns from rewards the large panel is the reward: its loss says nothing.
    """
    found = {name for line in lines for name, value in line.items() if value is not None}
    drawn = _to_be_drawn(found)
    if not drawn:
        return
    import matplotlib  # here: it takes a second to import

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    heights = (4, *[1] * (len(drawn) - 1))
    figure, panels = pyplot.subplots(
        len(drawn), 1, figsize=(8, 2 + sum(heights)), sharex=True, height_ratios=heights, layout="constrained"
    )
    final, *_ = [_draw_panel(panel, name, lines) for name, panel in zip(drawn, panels)]
    large = panels[0]
    if lost := [line["step"] for line in lines if line.get("skipped") == "non-finite"]:  # overflows are normal
        look = {"color": "tab:red", "transform": large.get_xaxis_transform()}  # shares of the height
        large.vlines(lost, 0, 0.03, label="skipped: not finite", **look)
    large.set_title("\n".join(textwrap.wrap(f"{title}: {final}", TITLE_WIDTH)).replace("$", r"\$"))
    if not title.isascii():
        from training.report.fonts import fonts  # most runs do not load it

        large.title.set_fontfamily(fonts(title))
    is_per_answer = {"rewards/chosen", "mean_reward", "reward"} & found
    if drawn[0] == "loss" and not is_per_answer:
        large.set_ylabel("loss (nats per token)")
    large.legend()
    panels[-1].set(xlabel="step", ylabel="learning rate")
    panels[-1].xaxis.set_major_locator(ticker.MaxNLocator(steps=[1, 2, 5, 10], integer=True))  # there is no step 2.5
    panels[-1].xaxis.set_major_formatter("{x:,.0f}")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # for a Chinese name that no installed font can show
        try:
            write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=110))
        finally:
            pyplot.close(figure)


def _to_be_drawn(found: set[str]) -> list[str]:
    """What has a panel, the large one first; nothing where the run has nothing to show in that."""
    besides = [name for name in BESIDES if {name, f"val_{name}"} & found][:2]
    drawn = [*besides, "loss"] if besides[:1] == ["reward"] else ["loss", *besides]
    if drawn[0] not in found:
        return []
    drawn = [name for name in drawn if {name, f"val_{name}"} & found]  # a critic's warm-up has no loss
    return [*drawn, "lr"]


def _draw_panel(panel, name: str, lines: list[dict]) -> str:
    """Draws one metric of training and of validation; says in words where the last of the two ends."""
    end = ""
    for key, color, kind in ((name, "tab:blue", "training"), (f"val_{name}", "tab:orange", "validation")):
        points = [(line["step"], line[key]) for line in lines if line.get(key) is not None]
        if not points:
            continue
        steps, values = zip(*points)
        if kind == "validation":
            panel.plot(steps, values, "o-", color=color, markersize=4, label="validation")
        elif name == "lr":
            panel.plot(steps, values, color="tab:green")
            panel.set_ylim(bottom=0)  # else a rate that stays the same looks as if it were measured in millionths
        else:
            panel.plot(steps, values, color=color, alpha=0.35, linewidth=0.8, label="training, each step")
            look = {"color": color, "marker": "." if len(steps) == 1 else None}  # a line has two points
            panel.plot(steps, trend(values), label="training, smoothed", **look)
            held_out = [line[f"val_{name}"] for line in lines if line.get(f"val_{name}") is not None]
            hidden = show_within(panel, steps, values, held_out)
            panel.text(0.5, 0.98, hidden, transform=panel.transAxes, ha="center", va="top", fontsize=8)
        end = f"{kind} {values[-1]:.3f} at step {steps[-1]:,}"
    panel.set(ylabel=name.split("/")[-1])
    panel.grid(alpha=0.3)
    return end
