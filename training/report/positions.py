"""The picture of `scripts/loss_by_position.py`: the loss of networks over the position in the text."""

import warnings
from pathlib import Path

from dataset.pages import look_of
from model.disk import write_atomically
from training.report.fonts import fonts


def draw(found: dict[str, dict], ranges: list[tuple[int, int]], path: str | Path) -> None:
    """A curve for each network, drawn at the middle of each range of positions, as PNG or SVG by the name of the file.

    found: by the network's name its "loss" in each range, and the positions "known" to it, of which each number gets a
    dashed line.
    """
    import matplotlib  # here: it takes a second to import
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(8, 5), layout="constrained")
    panel = figure.add_subplot()
    middles = [(first * last) ** 0.5 for first, last in ranges]
    for number, (name, each) in enumerate(found.items()):
        panel.plot(middles, each["loss"], **look_of(number), markersize=4, label=name.replace("$", r"\$"))
    for known in sorted({each["known"] for each in found.values()}):
        if known < ranges[-1][1]:
            panel.axvline(known, color="#7a7a7a", linestyle="--", linewidth=1)
            panel.annotate(
                f"trained on {known:,}",
                (known, 1),
                xycoords=("data", "axes fraction"),
                xytext=(-4, -4),
                textcoords="offset points",
                ha="right",
                va="top",
                rotation=90,
                color="#555555",
                fontsize=8,
            )
    panel.set_xscale("log", base=2)
    ticks = [last for _, last in ranges[::2]]
    panel.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set(xlabel="position in the text (tokens)", ylabel="loss (nats per token)")
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.3)
    panel.legend(frameon=False, prop={"family": fonts(*found)})
    kind = Path(path).suffix.removeprefix(".")
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "positions"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # for a Chinese name that no installed font can show
        metadata = {"Date": None} if kind == "svg" else None
        write_atomically(path, lambda file: figure.savefig(file, format=kind, dpi=110, metadata=metadata))
