"""What a network made of the items of a task, and the scores that follow from it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from inference.benchmark import scores
from inference.benchmark.scores import Score
from inference.benchmark.tasks import PASSAGES, Entry, Task


@dataclass(frozen=True)
class Outcome:
    """What the network made of an item: log-likelihoods of its choices, or the answer that it wrote.

    nats, tokens: of a passage, -log p and the number of its tokens.
    cut: whether it was too long for the network, and lost its beginning.
    """

    likelihoods: tuple[float, ...] = ()
    written: str | None = None
    nats: float = 0.0
    tokens: int = 0
    cut: bool = False


def outcome_of(entry: Entry, fields: dict) -> Outcome:
    """The outcome that was written as JSON. Raises `TypeError` or `ValueError` for fields that are not those of one."""
    outcome = Outcome(**fields | {"likelihoods": tuple(fields.get("likelihoods", ()))})
    if len(outcome.likelihoods) != len(entry.item.choices):
        raise ValueError("one for each choice is wanted")
    return outcome


def verdicts(task: Task, entry: Entry, outcome: Outcome) -> dict[str, bool]:
    """Whether an item is right, by metric."""
    item = entry.item
    if item.choices:
        by_metric = ((name, scores.chosen(outcome.likelihoods, item.choices, name)) for name in task.form.metrics)
        return {name: place == item.right for name, place in by_metric}
    return {name: is_right(outcome.written, item.answer) for name, is_right in task.form.grades.items()}


def score_task(task: Task, outcomes: Sequence[Outcome], without: Collection[int] = ()) -> list[Score]:
    """The scores of a task. without: numbers of entries that do not count."""
    kept = [pair for number, pair in enumerate(zip(task.entries, outcomes, strict=True)) if number not in without]
    if not kept:
        return []
    if task.layout is PASSAGES:
        sizes = [len(entry.item.answer.encode("utf-8")) for entry, _ in kept]
        return scores.passages([one.nats for _, one in kept], [one.tokens for _, one in kept], sizes)
    chance = sum(1 / len(entry.item.choices) for entry, _ in kept) / len(kept) if kept[0][0].item.choices else None
    found = [verdicts(task, *pair) for pair in kept]
    return [scores.share(name, [each[name] for each in found], chance) for name in task.form.metrics]
