"""A page for a browser that needs nothing but itself: the frame, tables, and pictures of matplotlib as SVG.

Its colours follow the reader's choice of light or dark: `svg` writes the colours that mean ink, lines and curves as
variables of the style sheet. Texts of pictures stay texts, so that the browser shows Chinese.
"""

import html
import io
import re
import warnings
from collections.abc import Sequence

from model.errors import on_one_line

COLOURS = ("#2e7d4f", "#c0603a", "#3b6ea8", "#b08a1e", "#8659a3", "#4fa3a0", "#a8496b", "#7a7a7a")
IN_THE_DARK = ("#5fc48a", "#e8916b", "#7fb2ec", "#dcb64d", "#bd93dd", "#72cfcb", "#e07fa3", "#a6a6a6")
FONTS = "'DejaVu Sans', Arial, sans-serif"  # of pictures: what matplotlib measures texts with, then what a browser has
LINES, MARKS = ("-", "--", "-.", ":"), "osD^"  # beside colours: who sees no red or green tells curves apart by them
INK, SOFT, LINE, PALE = "#222222", "#444444", "#e4e4e4", "#d9e6dd"  # what pictures are drawn in besides
VARIABLES = {INK: "ink", SOFT: "soft", LINE: "line", PALE: "pale"} | {c: f"c{i}" for i, c in enumerate(COLOURS)}

STYLE = f"""
:root {{ color-scheme: light dark; --paper: #ffffff; --quiet: #666666; --box: #f6f6f4; --edge: #b8b8b8;
  --warn: #fff3d6; --warn-edge: #c98a00;
  {" ".join(f"--{name}: {colour};" for colour, name in VARIABLES.items())} }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #16181a; --quiet: #9aa0a6; --box: #212427; --edge: #555b61;
  --warn: #3a2f12; --warn-edge: #c98a00; --ink: #e6e6e6; --soft: #b8bcc0; --line: #34383c; --pale: #2d4236;
  {" ".join(f"--c{i}: {colour};" for i, colour in enumerate(IN_THE_DARK))} }} }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--ink); background: var(--paper); }}
h1 {{ font-size: 1.6rem; }} h2 {{ font-size: 1.2rem; margin-top: 2.2rem; }}
table {{ border-collapse: collapse; width: 100%; font-size: .9rem; }}
th, td {{ text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); }}
td {{ font-variant-numeric: tabular-nums; }}
th:first-child, td:first-child {{ text-align: left; overflow-wrap: anywhere; min-width: 8rem; }}
details {{ margin: .4rem 0; }} summary {{ cursor: pointer; }}
blockquote {{ margin: .4rem 0 .8rem; padding: .4rem .8rem; background: var(--box); border-left: 3px solid var(--edge);
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: .9rem; }}
.place {{ color: var(--quiet); font-size: .85rem; overflow-wrap: anywhere; }}
.warning {{ background: var(--warn); border-left: 3px solid var(--warn-edge); padding: .4rem .8rem; }}
div {{ overflow-x: auto; }} svg {{ width: 100%; height: auto; }}
"""


def whole_page(title: str, body: str, style: str = "") -> str:
    """style: rules besides `STYLE`. body: HTML, in which what comes from elsewhere is escaped."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}{style}</style></head>
<body>
{body}
</body></html>
"""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are texts; they are escaped here."""
    lines = ["".join(f"<th>{html.escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    return f"<div><table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table></div>"


def new_figure(height: float, width: float = 6.0):
    """A figure of one panel in inches, and the panel."""
    import matplotlib  # here: it takes a second to import
    from matplotlib.figure import Figure

    inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    with matplotlib.rc_context(dict.fromkeys(inks, INK) | {"grid.color": LINE}):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.add_subplot()
        axes.tick_params(colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def look_of(number: int) -> dict[str, str]:
    """Colour, line and mark of the curve of this number: no two of the first 32 curves look alike."""
    kind = (number + number // len(COLOURS)) % len(LINES)
    return {"color": COLOURS[number % len(COLOURS)], "ls": LINES[kind], "marker": MARKS[kind]}


def svg(figure, salt: str, label: str | None = None) -> str:
    """The picture as an element of a page. salt: makes its inner names differ from those of other pictures. label: what
    is read out to who does not see it."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": on_one_line(salt), "text.color": INK}):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # the browser has the letters
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    label = html.escape(label or salt)
    return _shorter(text[text.index("<svg") :]).replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _shorter(text: str) -> str:
    """The same picture in half the characters, and with colours as variables. What a user wrote, between the tags,
    stays."""
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return re.sub(r"\s*\n\s*", "\n", re.sub(r"<[^<>]*>", _shorter_tag, text))


def _shorter_tag(found: re.Match) -> str:
    """Places to a tenth of a point, without names of groups, which nothing refers to."""
    tag = re.sub(r' transform="rotate\(-0 [^"]*"|(?<=<g) id="[^"]*"', "", found.group())
    tag = re.sub(r'(?<=font-family: )[^;"]+', FONTS, tag)
    tag = re.sub(r'(?<= x=")[^"]+|(?<= y=")[^"]+|(?<= d=")[^"]+', _shorter_numbers, tag)
    return re.sub(r"(?<=: )#[0-9a-f]{6}(?=[;\"])", _as_variable, tag)


def _shorter_numbers(found: re.Match) -> str:
    """Numbers below ten are those of the marks at points, which need another digit."""

    def shorter(number: re.Match) -> str:
        value = float(number[0])
        return f"{value:.{1 if abs(value) >= 10 else 2}f}".rstrip("0").rstrip(".")

    numbers = re.sub(r"-?\d+\.\d+", shorter, found.group())
    return re.sub(r"\s*\n\s*", "", re.sub(r"(?<=[MLCQ]) ", "", numbers))


def _as_variable(found: re.Match) -> str:
    name = VARIABLES.get(found.group())
    return f"var(--{name})" if name else found.group()
