"""What a benchmark found, as a table for people and as JSON with every item."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from functools import partial

from inference.benchmark.outcomes import Outcome, verdicts
from inference.benchmark.scores import Score
from inference.benchmark.tasks import PASSAGES, Task
from inference.columns import in_columns
from model.errors import in_short

HEAD = ("task", "items", "metric", "value", "95 % interval", "chance")


def table(rows: Sequence[tuple[str, Score]]) -> list[str]:
    """Lines of a table; "chance" stands at the end of those where guessing could have scored the same."""
    cells = [(*HEAD, "")]
    for name, score in rows:
        form = partial(in_short, decimals=4 if score.metric == "bits_per_byte" else 2)
        if score.metric not in ("perplexity", "bits_per_byte"):
            form = "{:.1%}".format
        between = "-" if score.low is None else f"{form(score.low)} to {form(score.high)}"
        guess = "-" if score.chance is None else form(score.chance)
        mark = "chance" if score.is_chance else ""
        cells.append((name, f"{score.items:,}", score.metric, form(score.value), between, guess, mark))
    return in_columns(cells, left=(0, 2, len(HEAD)))


def as_json(task: Task, outcomes: Sequence[Outcome], scores: Sequence[Score], seen: Collection[int] | None) -> dict:
    """A task with every item: its place, its right choice, log-likelihoods or the written answer, and what is right.

    seen: the numbers of the entries that stand in training data; None: nobody asked.
    """
    shots = max(entry.shots for entry in task.entries)
    items = []
    for number, (entry, outcome) in enumerate(zip(task.entries, outcomes, strict=True)):
        one = {"file": entry.path, "line": entry.line}
        if entry.subject is not None:
            one["subject"] = entry.subject
        if entry.shots != shots:
            one["shots"] = entry.shots
        if task.layout is PASSAGES:
            one |= {"nats": outcome.nats, "tokens": outcome.tokens, "bytes": len(entry.item.answer.encode("utf-8"))}
        elif entry.item.choices:
            one |= {"right": entry.item.right, "log_likelihoods": list(outcome.likelihoods)}
        else:
            one |= {"answer": entry.item.answer, "written": outcome.written}
        if task.layout is not PASSAGES:
            one |= verdicts(task, entry, outcome)
        if outcome.cut:
            one["cut"] = True
        if seen is not None:
            one["overlaps"] = number in seen
        items.append(one)
    first = task.entries[0]
    return {
        "task": task.name,
        "shots": shots,
        "left_out": task.left_out,
        "scores": [asdict(score) | {"is_chance": score.is_chance} for score in scores],
        "example": {"context": first.context, "delimiter": first.item.delimiter, "choices": list(first.item.choices)},
        "items": items,
    }


def remarks(task: Task, outcomes: Sequence[Outcome]) -> list[str]:
    """What a reader of the scores should know of the items, in sentences."""
    found = []
    if few := [entry.shots for entry in task.entries if entry.shots < task.shots]:
        found.append(
            f"{task.name}: {len(few):,} items with fewer examples before them than the usual {task.shots}, the least"
            f" {min(few)}, since --shots_path holds no more for them"
        )
    if task.left_out:
        found.append(f"{task.name}: left out {task.left_out:,} items, which cannot be asked so")
    if cut := sum(outcome.cut for outcome in outcomes):
        found.append(f"{task.name}: the network saw only the end of {cut:,} items longer than its context")
    if copies := len(task.entries) - len({(entry.subject, entry.item) for entry in task.entries}):
        found.append(
            f"{task.name}: counted {copies:,} items again that stand earlier in the data, as published scores do"
        )
    return found
