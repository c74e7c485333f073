"""The picture that compares tokenizers: an SVG whose texts stay texts, since a browser has Chinese letters."""

import textwrap
import warnings
from pathlib import Path

from dataset.pages import COLOURS
from model.disk import write_atomically


def draw(report: dict[str, dict], languages: dict[str, str], meaning: dict[str, str], path: str | Path) -> None:
    """Four panels: bytes per token and single bytes by language, unused tokens, and the longest tokens as text.

    report: the figures of each tokenizer by its name, as scripts/compare_tokenizers.py makes them. languages: what they
    are called in the picture. meaning: a sentence for each figure.
    """
    import matplotlib  # here: it takes a second to import
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    names = [shown(name) for name in report]
    heights = [0.3 * len(names) * len(languages) + 0.6] * 2 + [0.3 * len(names) + 0.6, 0.62 * len(names) + 0.3]
    figure = Figure(figsize=(9, sum(heights) + 4 * 0.85), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.12)
    panels = figure.subplots(4, 1, height_ratios=heights)
    for panel, key, title, form in (
        (panels[0], "bytes_per_token", "Bytes per token", "{:.2f}"),
        (panels[1], "single_bytes", "Single bytes, share of tokens", "{:.1%}"),
    ):
        for number, (each, colour) in enumerate(zip(report.values(), COLOURS * len(report))):
            at = [row * (len(report) + 1) + number for row in range(len(languages))]
            bars = panel.barh(at, [each[key][language] for language in languages], 0.9, color=colour)
            panel.bar_label(bars, [form.format(each[key][language]) for language in languages], padding=4)
        panel.set_xlim(0, 1.15 * max(each[key][language] for each in report.values() for language in languages) or 1)
        middle = (len(report) - 1) / 2
        panel.set_yticks([row * (len(report) + 1) + middle for row in range(len(languages))], languages.values())
        _finish(panel, title, meaning[key])
    handles = [Patch(color=colour) for colour, _ in zip(COLOURS * len(report), names)]
    figure.legend(handles, names, loc="outside upper left", ncols=3, frameon=False)

    shares = [each["unused"] / each["vocabulary"] for each in report.values()]
    bars = panels[2].barh(range(len(names)), shares, 0.9, color=(COLOURS * len(names))[: len(names)])
    panels[2].bar_label(bars, [f"{each['unused']:,} of {each['vocabulary']:,}" for each in report.values()], padding=4)
    panels[2].set_yticks(range(len(names)), [""] * len(names))
    panels[2].set_xlim(0, 1.2)
    _finish(panels[2], "Unused tokens, share of the vocabulary", meaning["unused"])

    panels[3].set(xlim=(0, 1), ylim=(0, len(names)), xticks=[], yticks=[])
    _finish(panels[3], "Longest tokens (how often they are used)", meaning["longest"])
    panels[3].spines[:].set_visible(False)
    for number, (each, colour) in enumerate(zip(report.values(), COLOURS * len(report))):
        words = [f"{shown(one['text'].replace(' ', '␣'), 20)} ({one['used']:,})" for one in each["longest"]]
        text = textwrap.fill("   ".join(words), 105, max_lines=2, break_long_words=False)
        panels[3].text(0, number + 0.5, text, color=colour, va="center", fontsize=9).set_in_layout(False)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tokenizers"}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fonts that are not here, letters that they would have
            write_atomically(path, lambda file: figure.savefig(file, format="svg", metadata={"Date": None}))


def _finish(panel, title: str, sentence: str) -> None:
    panel.invert_yaxis()
    panel.spines[["top", "right"]].set_visible(False)
    panel.set_title(title, loc="left", pad=20, fontweight="bold")
    below = panel.text(0, 1.0, sentence, transform=panel.transAxes, va="bottom", color="#555555", fontsize=8)
    below.set_in_layout(False)  # else a long sentence makes the panels narrow
    panel.set_xticks([])
    panel.tick_params(length=0)


def shown(text: str, longest: int = 40) -> str:
    """As much of a text as has room; matplotlib would read mathematics between two dollars."""
    text = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
    return (text if len(text) <= longest else text[: longest - 1] + "…").replace("$", r"\$")
