"""The pictures of a report, as SVG inside a page."""

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import FuncFormatter

from dataset.pages import COLOURS, PALE, SOFT, new_figure, svg

BEFORE, AFTER = SOFT, COLOURS[0]
NAME_LENGTH = 32


def lengths_picture(before: dict[int, int], after: dict[int, int]) -> str:
    """Documents by length, before and after. before, after: how many there are of each `report.length_class`."""
    classes = np.arange(min(*before, *after, 99), max(*before, *after, 0) + 2)
    edges = 2 ** (classes / 2)
    figure, axes = new_figure(2.6)
    heights = [[counts.get(int(each), 0) for each in classes[:-1]] for counts in (before, after)]
    axes.stairs(heights[1], edges, fill=True, color=AFTER, label="kept")
    axes.stairs(heights[0], edges, color=BEFORE, label="as it came in", lw=1.4)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("characters of a document")
    axes.set_ylabel("documents")
    axes.legend(frameon=False)
    return svg(figure, "lengths")


def bars_picture(counts: dict[str, int], name: str) -> str:
    """Horizontal bars, the longest on top."""
    names = sorted(counts, key=counts.get)[-12:]
    figure, axes = new_figure(0.6 + 0.28 * len(names))
    bars = axes.barh(names, [counts[each] for each in names], color=AFTER)
    axes.bar_label(bars, [f"{counts[each]:,}" for each in names], padding=4)
    axes.margins(x=0.12)
    axes.set_xlabel("documents")
    return svg(figure, name)


def dropped_picture(sources: dict[str, dict[str, int]], rules: Sequence[str]) -> str:
    """A bar for each source: the shares kept, and dropped by each rule. sources: {"read", "kept", rule: n}.

    rules: the commonest first; what has no colour of its own is put together.
    """
    names = [name for name, counts in sources.items() if counts["read"]][::-1][-30:]
    own = len(COLOURS) - (len(rules) > len(COLOURS))
    parts = {"kept": ["kept"], **{rule: [rule] for rule in rules[:own]}}
    if len(rules) > own:
        parts["other rules"] = list(rules[own:])
    rows_of_legend = -(-len(parts) // 2)
    figure, axes = new_figure(0.6 + 0.34 * len(names) + 0.18 * rows_of_legend)
    left = np.zeros(len(names))
    for number, (part, put_together) in enumerate(parts.items()):
        counts = [sum(sources[name].get(rule, 0) for rule in put_together) for name in names]
        shares = np.array([count / sources[name]["read"] for count, name in zip(counts, names)])
        colour = PALE if part == "kept" else COLOURS[(number - 1) % len(COLOURS)]
        axes.barh(range(len(names)), shares, left=left, color=colour, label=part, lw=0)
        left += shares
    axes.set_yticks(range(len(names)), _shown(names))
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    # Of the whole picture: beside long names of sources the panel is narrower than the names of rules.
    figure.legend(frameon=False, fontsize=8, ncols=2, loc="outside upper left")
    return svg(figure, "dropped")


def _shown(names: Sequence[str]) -> list[str]:
    """What tells paths apart: without the folders that all have in common, and of long ones the end."""
    common = os.path.commonpath(list(map(os.path.dirname, names))) if all("/" in name for name in names) else ""
    shown = [name.removeprefix(common).lstrip("/") for name in names]
    shown = [name if len(name) <= NAME_LENGTH else "…" + name[1 - NAME_LENGTH :] for name in shown]
    return [name.replace("$", r"\$") for name in shown]  # matplotlib reads mathematics between two of them
