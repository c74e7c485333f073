"""The result of a run: a file that is written again after each task, and the table that is shown at the end."""

import json
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from inference.benchmark.outcomes import Outcome, score_task
from inference.benchmark.report import as_json
from inference.benchmark.scores import Score
from inference.benchmark.tasks import Task
from inference.replaced import has_keys, refuse_inputs, refuse_strangers
from model.disk import write_atomically
from model.errors import UsageError
from model.json_text import json_text


class Result:
    """What the tasks of a run have found so far.

    path: the file of the whole result. Until the last task is done, those that are stand in `unfinished` beside it, so
        that an interruption loses none of them, nor an earlier result at `path`.
    about: what the file says of the network and of how it was asked. count: how many tasks there are.

    Attributes: `rows` of the table, a task and one of its scores each; `items`, the file for a `GrowingFile` of items.
    """

    def __init__(self, path: Path, about: dict, count: int):
        self.path = path
        self.unfinished = path.with_name(f"{path.stem}.unfinished.json")
        self.items = path.with_name(f"{path.stem}.unfinished.jsonl")
        self.rows: list[tuple[str, Score]] = []
        self._about = about
        self._count = count
        self._written: list[dict] = []  # tasks, as they are in the file
        self._replaces = path.exists()

    def add(self, task: Task, outcomes: Sequence[Outcome], seen: Collection[int] | None) -> None:
        """Scores a task, and writes it with all before it. seen: as for `as_json`; scores without those are rows, too.

        Raises `SproutError` if the disk is full; the scores are rows even so.
        """
        scores = score_task(task, outcomes)
        self.rows += [(task.name, score) for score in scores]
        if seen:
            apart = score_task(task, outcomes, without=seen)
            self.rows += [(f"{task.name} without {len(seen):,} seen", score) for score in apart]
        tasks = [*self._written, as_json(task, outcomes, scores, seen)]
        text = json_text(self._about | {"tasks": tasks}, indent=1)
        place = self.path if len(tasks) == self._count else self.unfinished
        write_atomically(place, lambda file: file.write(text.encode("utf-8")))
        self._written = tasks
        if place == self.path:
            self.unfinished.unlink(missing_ok=True)

    def whereabouts(self) -> str | None:
        """A sentence on the file that has every item; None where nothing is written."""
        if len(self._written) == self._count:
            return f"every item is in {self.path}{' (replaced)' if self._replaces else ''}"
        if self._written:
            return f"every item of {len(self._written)} of {self._count} benchmarks is in {self.unfinished}"
        return None


def refuse_replacing(path: Path, inputs: Iterable[str]) -> None:
    """Raises `UsageError` if a result at `path` would replace one of the files that are read, or what is no result."""
    refuse_inputs("--save_file", path, inputs)
    refuse_strangers("--save_file", path, has_keys(path, "weight", "tasks"), "a result of scripts/benchmark_model.py")


def refuse_other_weights(path: Path, source: str, lora: str | None) -> None:
    """Raises `UsageError` if the result there is of another weight or other adapters that have the same name."""
    if path.exists():
        earlier = json.loads(path.read_bytes())
        for before, now in ((earlier["weight"], source), (earlier.get("lora"), lora)):
            if before != now and os.path.realpath(str(before)) != os.path.realpath(str(now)):
                raise UsageError(f"{path} is the result of {before}, not of {now}: name another file by --save_file")
