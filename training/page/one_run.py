"""The part of the page about one run: where it stands, the verdict, curves, samples, questions, plan, flags."""

import html
import json

from dataset.pages import table
from model.errors import SproutError
from training.diagnosis.diagnosis import diagnose
from training.diagnosis.verdict import HEALTHY, STILL_FALLING, TOO_EARLY
from training.page.curves import MOST_PICTURES, POINTS, constants_of, names_of, pictures_of, title_of
from training.page.left import Left
from training.page.texts import questions_of, samples_of
from training.page.thinned import spread_out
from training.report.description import amount, duration
from training.report.figures import figure
from training.report.lines import finite

MOST_VALIDATIONS = 12


def part_of(left: Left, number: int, points: int = POINTS) -> str:
    """HTML. number: the place of the run on the page, which links name."""
    parts = [
        f'<section id="run{number}"><h2>{html.escape(left.label)}</h2>',
        f'<p class="place">{html.escape(left.stage)}, {html.escape(left.state())}; {html.escape(str(left.folder))}</p>',
        _figures(left),
        _verdict(left),
    ]
    if left.missing:
        items = "".join(f"<li>{html.escape(text)}</li>" for text in left.missing)
        parts.append(f'<div class="missing"><b>Not all is there</b><ul>{items}</ul></div>')
    if left.lines:
        pictures = "".join(
            f"<figure><figcaption>{html.escape(title)}</figcaption>{picture}</figure>"
            for title, picture in pictures_of(left, points)
        )
        parts.append(f'<h3>Curves</h3><div class="curves">{pictures}</div>')
        if rest := names_of(left)[MOST_PICTURES:]:
            parts.append(f'<p class="place">in metrics.jsonl, too: {html.escape(", ".join(rest))}</p>')
        if same := ", ".join(f"{title_of(name)} {value:.4g}" for name, value in constants_of(left).items()):
            parts.append(f'<p class="place">the same in all steps: {html.escape(same)}</p>')
    parts += [_validation(left), _samples(left), questions_of(left.questions), _plan(left)]
    return "\n".join(filter(None, parts)) + "</section>"


def end_of(left: Left, name: str) -> float | None:
    """The last validation of `name`; without one, the mean of the last eighth of the steps, five at least."""
    _, held_out = left.series(f"val_{name}")
    _, values = left.series(name)
    if held_out:
        return held_out[-1]
    last = values[-max(5, len(values) // 8) :]
    return sum(last) / len(last) if last else None


def seconds_of(left: Left) -> float:
    return sum(finite(line.get("time/seconds")) or 0.0 for line in left.lines)


def _figures(left: Left) -> str:
    """The few numbers that one looks for first."""
    if not left.lines:
        return ""
    last, planned = left.steps
    seconds, tokens = seconds_of(left), int(finite(left.lines[-1].get("tokens")) or 0)
    found = {"steps": f"{last:,}" + (f" of {planned:,}" if planned else ""), "tokens": amount(tokens)}
    if seconds:
        found |= {"time in steps": duration(seconds), "tokens a second": f"{tokens / seconds:,.0f}"}
    for name in ("reward", "loss"):
        for key, words in ((name, f"training {name} at the end"), (f"val_{name}", f"validation {name}")):
            _, values = left.series(key)
            if values:
                found[words] = f"{values[-1] if key != name else sum(values[-5:]) / len(values[-5:]):.3f}"
    if memory := max(left.series("time/memory")[1], default=0):
        found["memory at its peak"] = f"{memory / 2**30:.2f} GB"
    tiles = "".join(f"<li><b>{html.escape(value)}</b>{html.escape(name)}</li>" for name, value in found.items())
    return f'<ul class="tiles">{tiles}</ul>'


def _verdict(left: Left) -> str:
    if not left.lines:
        return ""
    try:
        verdict = diagnose(left.lines, left.description, left.folder / "metrics.jsonl")
    except SproutError as error:
        return f'<p class="missing">no verdict: {html.escape(str(error))}</p>'
    kind = "good" if verdict.name in (HEALTHY, STILL_FALLING) else "early" if verdict.name == TOO_EARLY else "bad"
    since = f" since step {verdict.since_step:,}" if verdict.since_step is not None else ""
    more = f'<br><span class="place">but {html.escape("; ".join(verdict.unjudged))}</span>' if verdict.unjudged else ""
    return (
        f'<div class="verdict {kind}"><b>{html.escape(verdict.name + since)}</b>: {html.escape(verdict.sentence)}'
        f"<br>try next: {html.escape(verdict.advice)}{more}</div>"
    )


def _samples(left: Left) -> str:
    if left.flags.get("sample_interval") == 0:
        return "<h3>What it wrote</h3><p>Nothing: --sample_interval 0 asked for no samples.</p>"
    return samples_of(left.samples)


def _validation(left: Left) -> str:
    held_out = [line for line in left.lines if any(name.startswith("val_") for name in line)]
    if not held_out:
        return "<h3>Validation</h3><p>There was none: nothing was held out, or no validation was due yet.</p>"
    names = list(dict.fromkeys(name for line in held_out for name in line if name.startswith("val_")))[:6]
    rows = [
        [f"{line['step']:,}", *("-" if finite(line.get(name)) is None else figure(name, line[name]) for name in names)]
        for line in spread_out(held_out, MOST_VALIDATIONS)
    ]
    shown = f" ({len(rows)} of {len(held_out)})" if len(rows) < len(held_out) else ""
    return f"<h3>Validation{shown}</h3>" + table(["step", *(name.removeprefix("val_") for name in names)], rows)


def _plan(left: Left) -> str:
    parts = []
    if left.said:
        lines = "\n".join(f"<span>{html.escape(line)}</span>" for each in left.said for line in each.split("\n"))
        parts.append(f"<h3>Plan and data</h3><pre>{lines}</pre>")
    elif left.facts:
        parts.append("<h3>Plan and data</h3>" + _named(left.facts))
    if left.flags:
        parts.append(f"<details><summary>Flags: {len(left.flags)}</summary>{_named(left.flags)}</details>")
    if left.environment:
        parts.append("<h3>Environment</h3>" + _named(left.environment))
        if left.environment.get("commit") is None:
            parts.append('<p class="place">The commit is not known: the code was no checkout of git.</p>')
    return "\n".join(parts)


def _named(values: dict) -> str:
    rows = [[str(name), in_words(value)] for name, value in values.items()]
    return f'<div class="named">{table(["name", "value"], rows)}</div>'


def in_words(value) -> str:
    """The value of a flag."""
    if isinstance(value, list):
        return " ".join(map(in_words, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
