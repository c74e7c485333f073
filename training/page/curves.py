"""The curves of a run as pictures, and those of several runs in one."""

import numpy as np
from matplotlib.ticker import EngFormatter, MaxNLocator

from dataset.pages import COLOURS, INK, look_of, new_figure, svg
from training.page.left import Left
from training.page.thinned import spread_out, thinned
from training.report.lines import finite
from training.report.loss_curve import BESIDES, show_within, trend

POINTS = 300  # of a curve
MOST_PICTURES = 24
TITLES = {
    "loss": "loss",
    "lr": "learning rate",
    "grad_norm": "gradient norm, before clipping",
    "time/tokens_per_second": "tokens a second",
    "time/memory": "memory at its peak, GB",
    "reward": "reward",
    "objective/kl": "KL to the reference, nats",
    "kl": "KL to the reference, nats",
    "entropy": "entropy, nats",
}
FIRST = ["loss", "lr", "grad_norm", "time/tokens_per_second", "time/memory"]
NEVER = {"step", "tokens", "time/seconds"}


def names_of(left: Left) -> list[str]:
    """What of a run can be drawn, the most telling first. A `val_` curve is drawn with the one that it belongs to."""
    base = {name.removeprefix("val_") for name in left.columns} - NEVER - constants_of(left).keys()
    rest = sorted(base - set(FIRST) - set(BESIDES))
    rest.sort(key=lambda name: not name.startswith(("rewards/", "reward", "kl", "entropy", "completions/")))
    besides = [name for name in BESIDES if name in base]
    first = [name for name in FIRST if name in base]
    if "reward" in base:  # a policy's loss says nothing
        return [*besides, *first, *rest]
    return [*first[:1], *besides, *first[1:], *rest]


def constants_of(left: Left) -> dict[str, float]:
    """What of the less important is the same in all steps of a run, and would be drawn as a flat line."""
    found = {}
    for name in {name.removeprefix("val_") for name in left.columns} - NEVER - {*FIRST, *BESIDES}:
        values = left.series(name)[1] + left.series(f"val_{name}")[1]
        if len(values) > 1 and min(values) == max(values):
            found[name] = values[0]
    return dict(sorted(found.items()))


def pictures_of(left: Left, points: int = POINTS) -> list[tuple[str, str]]:
    """(title, SVG) of each curve over the steps."""
    return [_picture(left, name, points) for name in names_of(left)[:MOST_PICTURES]]


def title_of(name: str) -> str:
    return TITLES.get(name, name)


def _picture(left: Left, name: str, points: int) -> tuple[str, str]:
    figure, axes = new_figure(2.3, 4.6)
    title = title_of(name)
    said = []
    scale = 2**-30 if name == "time/memory" else 1.0
    steps, values = left.series(name)
    held_out = left.series(f"val_{name}")
    if steps:
        values = np.multiply(values, scale)
        x, mean, least, largest = thinned(steps, values, points)
        said.append(f"training from {values[0]:.4g} at step {steps[0]:,} to {values[-1]:.4g} at step {steps[-1]:,}")
        noisy = name not in ("lr", "time/memory")
        if noisy and len(steps) > points:
            axes.fill_between(x, least, largest, color=COLOURS[2], alpha=0.25, lw=0)
        elif noisy:
            axes.plot(x, mean, color=COLOURS[2], alpha=0.35, lw=0.8)
        smooth = trend(list(mean)) if noisy and len(mean) > 5 else mean
        axes.plot(x, smooth, color=COLOURS[2], lw=1.6, label="training", marker="o" if len(x) == 1 else None)
        if hidden := show_within(axes, steps, values, held_out[1]):
            title += f" ({hidden})"
    steps, values = held_out
    if steps:
        said.append(f"validation from {values[0]:.4g} at step {steps[0]:,} to {values[-1]:.4g} at step {steps[-1]:,}")
        x, mean, *_ = thinned(steps, np.multiply(values, scale), 60)
        axes.plot(x, mean, "o-", color=COLOURS[1], ms=3.5, lw=1.2, label="validation")
        axes.legend(frameon=False, labelcolor=INK)
    if name in ("loss", "reward"):
        lost = left.lost()
        for step in spread_out(lost, 50):
            axes.axvline(step, ymax=0.06, color=COLOURS[6], lw=1.5)
        if lost:
            axes.plot([], [], color=COLOURS[6], label="no loss: not finite")
            axes.legend(frameon=False, labelcolor=INK)
    if name == "lr":
        axes.set_ylim(bottom=0)  # as in loss.png
    first, last = left.lines[0]["step"], left.lines[-1]["step"]
    margin = 0.05 * (last - first) or 0.5
    axes.set_xlim(first - margin, last + margin)  # one measure for all pictures, those of a few validations, too
    _finish(axes, "step")
    return title, svg(figure, f"{left.folder} {name}", f"{title}: {'; '.join(said)}")


def together(runs: list[Left], name: str, of: str, points: int = POINTS) -> str:
    """One curve of several runs over `of`: "tokens" or "seconds"; validation as points."""
    figure, axes = new_figure(3.4, 5.6)
    for number, left in enumerate(runs):
        look, places = look_of(number), places_of(left, of)
        steps, values = left.series(name)
        found = [(places[step], value) for step, value in zip(steps, values) if step in places]
        if found and max(places.values()) > 0:
            x, mean, *_ = thinned(*zip(*found), points)
            smooth = trend(list(mean)) if len(mean) > 5 else mean
            line = {"color": look["color"], "ls": look["ls"], "label": left.label.replace("$", r"\$")}
            axes.plot(x, smooth, lw=1.4, **line)
        steps, values = left.series(f"val_{name}")
        held_out = [(places[step], value) for step, value in zip(steps, values) if step in places]
        if held_out and max(places.values()) > 0:
            axes.plot(*zip(*held_out), **look | {"ls": ""}, ms=3.5)
    if not axes.lines:
        return f"<p>No line of metrics.jsonl tells {of}.</p>"
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    axes.set_ylabel(title_of(name))
    _finish(axes, {"tokens": "trained tokens", "seconds": "seconds in steps"}[of])
    return svg(figure, f"{name} {of} {len(runs)}", f"{title_of(name)} of {len(runs)} runs by {of}")


def places_of(left: Left, of: str) -> dict[int, float]:
    """Where each step stands on the axis `of`, by step."""
    places, seconds = {}, 0.0
    for line in left.lines:
        seconds += finite(line.get("time/seconds")) or 0.0
        place = seconds if of == "seconds" else finite(line.get("tokens"))
        if place is not None:
            places[line["step"]] = float(place)
    return places


def _finish(axes, below: str) -> None:
    axes.set_xlabel(below)
    axes.grid(alpha=0.6)
    axes.tick_params(left=False, bottom=False)  # the lines of the grid stand where they would
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if max(map(abs, axes.get_ylim())) >= 10_000:
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
