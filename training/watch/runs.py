"""The runs in an output folder, each with what its files tell, and whether it goes on, as far as that can be known."""

import contextlib
import math
import time
from pathlib import Path

from model.errors import SproutError
from training.diagnosis.diagnosis import describe, diagnose
from training.diagnosis.known import read_description
from training.report.description import NAME, Description, duration
from training.report.lines import read_metrics
from training.watch.drawing import harmless
from training.watch.following import Following, last_line
from training.watch.locks import owner_of

PLACES = ("logs/*", "lora/logs/*", "*")  # of log folders, in an output folder or a folder of logs
LARGEST_JUDGED = 2**26  # bytes: the verdict needs every line of a file
CACHE = "cache"  # in an output folder: each of its tokenised files has a lock for the process that writes it
QUIET = 60  # seconds without a line that are nothing special


def newest_place(out: Path, names: tuple[str, ...] = ()) -> Path:
    """`out`, or the folder in it (`out/quickstart`) for which a run prepares data, or to which one wrote last; of the
    given names, if any."""

    def newest(place: Path) -> float:
        if not names and Runs(place).preparing():
            return math.inf
        return max((run.changed for run in Runs(place, names).look()), default=0.0)

    return max([out, *sorted(path for path in out.glob("*") if path.is_dir())], key=newest)


def other_places(out: Path, shown: Path, names: tuple[str, ...] = ()) -> list[Path]:
    """Of the places that `newest_place` looks at those which have more runs of these names than the shown one."""
    seen = {run.folder for run in Runs(shown, names).look()}
    found = []
    for place in [out, *sorted(path for path in out.glob("*") if path.is_dir())]:
        folders = {run.folder for run in Runs(place, names).look()}  # out/logs has those of out once more
        found += [place] if folders - seen else []
        seen |= folders
    return found


class WatchedRun:
    """A run, known by its log folder. `look` reads what was added to its files."""

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        self.following = Following(folder / "metrics.jsonl")
        self.description = Description()
        self.remark: str | None = None  # what is wrong with its description
        self.process: int | None = None  # that writes it now, if that can be seen here
        self.was_process: int | None = None  # that wrote it when this program looked before
        self.changed = 0.0  # when its last line was written
        self._described: float | None = None
        self._verdict: tuple[int | None, list[str]] = (None, [])

    def look(self) -> None:
        self.following.look()
        with contextlib.suppress(OSError):
            self.changed = self.following.path.stat().st_mtime
        try:
            written = (self.folder / NAME).stat().st_mtime
        except OSError:
            written = None
        if written != self._described:
            self._described, self.remark = written, None
            try:
                self.description = read_description(self.folder) or Description()
            except SproutError as error:
                self.description, self.remark = Description(), str(error)
        process = owner_of(self.folder.parents[1] / f".{self.folder.name}.lock")
        self.was_process = (process or self.process or self.was_process) if not self.ended else None
        self.process = process

    @property
    def step(self) -> int:
        return self.following.last.get("step", 0)

    @property
    def ended(self) -> bool:
        """Whether it came to its last step, or was stopped by a rule of its stage."""
        return bool(self.description.stopped or 0 < (self.description.steps or 0) <= self.step)

    def standing(self, brief: bool = False) -> str:
        """Whether it goes on. That a process is there can be seen; of one that is not seen nothing is concluded."""
        if self.description.stopped:
            return "stopped" if brief else f"stopped: {harmless(self.description.stopped)}"
        if self.ended:
            return "ended"
        quiet = max(0, round(time.time() - self.changed))
        since = f"last line {quiet} s ago" if quiet < QUIET else f"no line for {duration(quiet)}"
        if brief and quiet < QUIET and (self.process or self.was_process):
            return "runs" if self.process else "process gone"
        if brief:
            return since
        if self.process:
            return f"process {self.process} runs, {since}"
        if self.was_process:
            return f"process {self.was_process} has gone, {since}"
        return since

    def seconds_left(self) -> float | None:
        """What the remaining steps will take in training alone; None if nothing tells, or no line came for a while."""
        pace = self.following.usual("time/seconds")
        quiet = time.time() - self.changed > QUIET and not self.process
        if not self.description.steps or pace is None or self.ended or quiet or (self.was_process and not self.process):
            return None
        return pace * (self.description.steps - self.step)

    def sample(self) -> dict | None:
        """The newest line of samples.jsonl."""
        return last_line(self.folder / "samples.jsonl")

    def verdict(self) -> list[str]:
        """The verdict on a run that has ended, in lines; none on others."""
        if not self.ended:
            return []
        with contextlib.suppress(OSError):
            size = self.following.path.stat().st_size
            if size > LARGEST_JUDGED:
                return [f"verdict   ask for it: python scripts/diagnose.py {self.folder}"]
            if size != self._verdict[0]:
                try:
                    lines = describe(diagnose(read_metrics(self.following.path), self.description, self.following.path))
                except SproutError as error:
                    lines = [f"verdict   none: {error}"]
                self._verdict = size, lines
        return self._verdict[1]


class Runs:
    """All runs of an output folder, or those of the given names; new ones are found as they begin."""

    def __init__(self, out_dir: Path, names: tuple[str, ...] = ()):
        self.out_dir, self.names = out_dir, names
        self._runs: dict[Path, WatchedRun] = {}

    def look(self) -> list[WatchedRun]:
        """The runs, newest first."""
        # From within a folder of logs, "." does not name the folder of their weights.
        out_dir = self.out_dir.resolve() if self.out_dir.name in ("", "..") else self.out_dir
        folders = [path.parent for place in PLACES for path in out_dir.glob(f"{place}/metrics.jsonl")]
        self._runs = {path: self._runs.get(path) or WatchedRun(path, self._name_of(path)) for path in folders}
        chosen = [run for run in self._runs.values() if not self.names or self._is_chosen(run)]
        for run in chosen:
            run.look()
        return sorted(chosen, key=lambda run: -run.changed)

    def preparing(self) -> set[int]:
        """The processes that read and tokenise data for this folder now: a run of theirs is not there yet. Empty where
        that cannot be seen."""
        return set(filter(None, map(owner_of, self.out_dir.glob(f"{CACHE}/*.lock"))))

    def go_on(self) -> bool:
        """Whether one of the runs seems to go on, or one is being prepared."""
        now = time.time()
        return bool(self.preparing()) or any(
            not run.ended and (run.process or now - run.changed <= QUIET) for run in self.look()
        )

    def _name_of(self, folder: Path) -> str:
        """The name of the weight; before that of an adapter stands its folder."""
        return f"lora/{folder.name}" if folder.parts[-3:-1] == ("lora", "logs") else folder.name

    def _is_chosen(self, run: WatchedRun) -> bool:
        """By its whole name, that of its folder, or without the size behind it (pretrain for pretrain_512)."""
        short, _, size = run.folder.name.rpartition("_")
        return bool({run.name, run.folder.name, short if size.isdecimal() else ""} & set(self.names))

    def all_names(self) -> list[str]:
        return [run.name for run in self._runs.values()]
