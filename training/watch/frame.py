"""The frame that a terminal shows: the runs, newest first, and below them the first of them in full."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from model.errors import counted
from training.report.description import duration
from training.report.figures import figure
from training.report.loss_curve import trend
from training.watch.drawing import curve, cut, harmless, width_of, wrapped
from training.watch.following import Following
from training.watch.runs import WatchedRun

FEWEST_FOR_A_CURVE, LOWEST_CURVE = 3, 4  # points; lines
LABEL = 10  # columns before what is said of a run


def frame(
    runs: Sequence[WatchedRun],
    out_dir: Path,
    width: int,
    height: int | None,
    braille: bool = True,
    preparing: Iterable[int] = (),
    elsewhere: Sequence[Path] = (),
) -> list[str]:
    """Lines of at most `width` columns, at most `height` of them (None: as many as there is to say).

    preparing: processes that tokenise data for runs that have not begun. elsewhere: folders with runs not shown here.
    """
    place = harmless(str(out_dir))
    lines = [f"process {each} prepares data: its run begins after that" for each in sorted(preparing)]
    if not runs:
        return [cut(line, width) for line in lines or [f"no run is left in {place}"]][:height]
    if elsewhere:
        lines.append(f"more runs are in {harmless(', '.join(map(str, elsewhere)))}: --out_dir shows them")
    room = len(runs) if height is None else max(1, height - 18 - len(lines))
    shown = runs if len(runs) <= room else runs[: max(1, room - 1)]
    lines += [f"{len(runs):,} runs, newest first, in {place}"] if len(runs) > 1 else []
    lines += [_row(run, number == 0) for number, run in enumerate(shown) if len(runs) > 1]
    if len(shown) < len(runs):
        lines.append(f"  and {len(runs) - len(shown):,} more: choose by name")
    if lines:
        lines.append("-" * width)
    lines += _in_full(runs[0], width, (height or 24 + len(lines)) - len(lines), braille)
    return [cut(line, width) for line in lines[:height]]


def _row(run: WatchedRun, first: bool) -> str:
    value = run.following.latest(run.following.name)
    said = "" if value is None else f"  {run.following.name} {value:.3f}"
    name, mark = _fitted(harmless(run.name), 20), ">" if first else " "
    return f"{mark} {name}  step {run.step:,}{_of(run)}{said}  {run.standing(brief=True)}"


def _fitted(text: str, width: int) -> str:
    text = cut(text, width)
    return text + " " * (width - width_of(text))


def _of(run: WatchedRun) -> str:
    return f" of {run.description.steps:,}" if run.description.steps else ""


def _in_full(run: WatchedRun, width: int, height: int, braille: bool) -> list[str]:
    """One run in `height` lines: what stands below the curve is said first, and the curve takes the rest."""
    above = [cut(_title(run), width), *wrapped(f"step {run.step:,}{_of(run)}  {run.standing()}", width, 2)]
    below = _below(run, width)
    room = height - len(above) - len(below)
    points = run.following.curve
    if len(points) >= FEWEST_FOR_A_CURVE and room >= LOWEST_CURVE:
        # Smoothed as in loss.png: the noise of single steps would hide the fall of a loss.
        smooth = [(step, value) for (step, _), value in zip(points, trend([value for _, value in points]))]
        marks = _within(run.following, smooth)
        name = f"{run.following.name}, smoothed{'; o: validation' if marks else ''}"
        above += [name, *curve(smooth, marks, width, room - 1, braille)]
    return [*above, *below]


def _within(following: Following, drawn: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """The validations that lie in the range of the curve: it would be flat beside one that is far off."""
    first, values = drawn[0][0], [value for _, value in drawn]
    low, high = min(values), max(values)
    slack = high - low
    return [(s, v) for s, v in following.validations if s >= first and low - slack <= v <= high + slack]


def _title(run: WatchedRun) -> str:
    facts = run.description
    said = []
    if facts.stage:
        said.append(harmless(facts.stage))
    if facts.parameters:
        said.append(f"{facts.parameters / 1e6:.3f} M parameters")
    if facts.optimizer:
        said.append(harmless(facts.optimizer))
    return f"{harmless(run.name)}{': ' if said else ''}{', '.join(said)}"


def _below(run: WatchedRun, width: int) -> list[str]:
    following = run.following
    lines = []
    value = following.latest(following.name)
    if value is None:
        lines.append("no step has ended yet" if not run.step else f"no {following.name} that is a number")
    else:
        lines += wrapped(f"{following.name} {value:.4f}  {_figures(run)}".rstrip(), width, 2)
    if following.not_finite:
        lines.append(counted(f"{following.not_finite:,} steps without a loss that is a number"))
    if following.damaged:
        lines.append(counted(f"passed over {following.damaged:,} bad lines of {following.path.name}"))
    if following.validated:
        lines += _labelled("validation", _validation(following.validated), width, 2)
    if sample := run.sample():
        lines += _labelled("sample", _sample(sample, width - LABEL - 2), width, 3)
    if run.remark:
        lines += _labelled("but", harmless(run.remark), width, 2)
    for line in run.verdict():
        label, _, text = line.partition("  ")
        lines += _labelled(label, harmless(text), width, 3)
    return lines


def _figures(run: WatchedRun) -> str:
    following = run.following
    found = []
    if (rate := following.latest("lr")) is not None:
        found.append(f"learning rate {rate:.2e}")
    if (speed := following.usual("time/tokens_per_second")) is not None:
        found.append(f"{speed:,.0f} tokens/s")
    if (memory := following.latest("time/memory")) is not None:
        found.append(f"{memory / 2**30:.1f} GB")
    if (left := run.seconds_left()) is not None:
        found.append(f"about {duration(left)} left")
    return "  ".join(found)


def _validation(line: dict) -> str:
    """All that a validation measured, the loss first."""
    measured = {key[4:]: line[key] for key in sorted(line, key=lambda key: key != "val_loss") if key[:4] == "val_"}
    said = [
        f"{harmless(name).replace('_', ' ')} {figure(name, value) if isinstance(value, int | float) else 'no number'}"
        for name, value in measured.items()
    ]
    return f"{', '.join(said)} at step {line['step']:,}"


def _sample(line: dict, width: int) -> str:
    """A prompt, of which a long one leaves its lines to what the network answered, and the answer."""
    step = f"step {line['step']:,}: " if isinstance(line.get("step"), int) else ""
    prompt, answer = (harmless(line[key]) if isinstance(line.get(key), str) else "" for key in ("prompt", "answer"))
    return f"{cut(step + prompt, max(20, width - 3))} | {answer}"


def _labelled(label: str, text: str, width: int, most: int) -> list[str]:
    found = wrapped(text, width - LABEL - 2, most)
    return [f"{label if number == 0 else '':{LABEL}}  {line}" for number, line in enumerate(found)]
