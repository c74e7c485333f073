"""The whole page: what is compared, then every run."""

import html
import time
from pathlib import Path

from dataset.pages import whole_page
from training.page.curves import POINTS
from training.page.left import Left, results_of_others, tell_apart, what_is_left
from training.page.one_run import part_of
from training.page.several import comparison_of
from training.page.texts import questions_of

FEWEST_POINTS = 60

STYLE = """
body { max-width: 84rem; font-family: system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; }
p, ul, blockquote, .verdict, .missing { max-width: 60rem; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .5rem; }
section { border-top: 2px solid var(--line); margin-top: 2.5rem; }
.tiles { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .5rem; max-width: none; }
.tiles li { background: var(--box); border-radius: .4rem; padding: .4rem .8rem; font-size: .8rem; color: var(--quiet); }
.tiles b { display: block; font-size: 1.15rem; color: var(--ink); font-variant-numeric: tabular-nums; }
.verdict, .missing { padding: .6rem .9rem; margin: .8rem 0; border-left: 4px solid var(--edge); background: var(--box);
  overflow-wrap: anywhere; }
.verdict.good { border-color: var(--c0); } .verdict.bad { border-color: var(--c1); }
.missing { border-color: var(--warn-edge); background: var(--warn); font-size: .9rem; }
.missing ul { margin: .2rem 0; padding-left: 1.2rem; }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); gap: 1rem; }
.curves.wide { grid-template-columns: repeat(auto-fit, minmax(min(100%, 32rem), 1fr)); }
figure { margin: 0; } figcaption { font-size: .85rem; color: var(--quiet); }
.sample { margin: 0 0 1.2rem; max-width: 60rem; } .prompt { font-weight: 600; margin: 0 0 .2rem; }
.prompt, dd { white-space: pre-wrap; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: minmax(5rem, max-content) 1fr; gap: .25rem .9rem; margin: 0;
  font-size: .9rem; }
dt { color: var(--quiet); white-space: nowrap; } dd { margin: 0; }
pre { font-size: .8rem; background: var(--box); padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
pre span { display: inline-block; padding-left: 10ch; text-indent: -10ch; }
td { overflow-wrap: break-word; max-width: 25rem; } th { white-space: nowrap; }
th:first-child, td:first-child { overflow-wrap: break-word; }
.named td { overflow-wrap: anywhere; }
a { color: var(--c2); }
table { width: auto; min-width: min(100%, 28rem); }
.named th, .named td { text-align: left; }
h1 + section { border: 0; margin: 0; } h1 + section h2 { display: none; }
@media (max-width: 30rem) { body { margin: .8rem auto; } dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; } dt { white-space: normal; } }
"""


def page_of(logs: list[Path]) -> str:
    """logs: the `metrics.jsonl` of each run, in the order of the page."""
    runs = [what_is_left(path) for path in logs]
    tell_apart(runs)
    points = max(FEWEST_POINTS, POINTS // len(runs) if len(runs) > 4 else POINTS)
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    parts = [f"<h1>{html.escape(title)}</h1>"]
    if len(runs) > 1:
        links = "".join(
            f'<li><a href="#run{number}">{html.escape(left.label)}</a> {html.escape(left.stage)},'
            f" {html.escape(left.state())}</li>"
            for number, left in enumerate(runs)
        )
        parts.append(f"<ul>{links}</ul>")
        parts += [comparison_of(of_stage, points) for of_stage in by_stage(runs).values() if len(of_stage) > 1]
    parts += [part_of(left, number, points) for number, left in enumerate(runs)]
    if len(runs) > 1 and (results := results_of_others(runs)):
        parts.append(f"<section><h2>Other weights</h2>{questions_of(results)}</section>")
    parts.append(f'<p class="place">made {time.strftime("%Y-%m-%d %H:%M")} by scripts/report.py</p>')
    return whole_page(title, "\n".join(parts), STYLE)


def by_stage(runs: list[Left]) -> dict[str, list[Left]]:
    """Only runs of one stage are compared: the losses of different stages measure different things."""
    found: dict[str, list[Left]] = {}
    for left in runs:
        found.setdefault(left.stage, []).append(left)
    return found
