"""What a run left in its log folder and around it, as far as it can be read; what is missing is said in words."""

import json
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from model.errors import SproutError, counted
from training.diagnosis.known import read_description
from training.report.description import NAME, Description
from training.report.lines import finite, flat

SOON = 120.0  # seconds: a run whose lines grew so recently may be going on
ADAPTERS = "lora"  # their folder in --out_dir, `model.files.checkpoint.ADAPTER_FOLDER`, which needs torch
WITHOUT_SAMPLES = ("dpo", "reward")  # stages that learn from answers that are there, and write none
SAYS_MUCH = 3  # damaged lines that are named one by one


@dataclass
class Left:
    """What was found of a run. `lines` are those of metrics.jsonl, with steps that only grow."""

    folder: Path
    lines: list[dict] = field(default_factory=list)
    description: Description | None = None
    facts: dict = field(default_factory=dict)  # run.json, whole
    samples: list[dict] = field(default_factory=list)
    questions: list[dict] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # sentences
    changed: float = 0.0  # when the last line came, in seconds since 1970
    label: str = ""  # what the page calls it: its name, and folders before it where others have the same

    def __post_init__(self):
        self.label = self.label or self.name

    @property
    def name(self) -> str:
        """The name of the run; that of an earlier one is the folder to which it was moved."""
        return self.folder.parent.name if self.folder.name == "logs" else self.folder.name

    @property
    def flags(self) -> dict:
        flags = self.facts.get("flags")
        return flags if isinstance(flags, dict) else {}

    @property
    def environment(self) -> dict:
        found = self.facts.get("environment")
        return found if isinstance(found, dict) else {}

    @property
    def code(self) -> dict[str, str]:
        """The files of code that the run had loaded as it began, each with its digest."""
        found = self.facts.get("code")
        return {name: str(digest) for name, digest in found.items()} if isinstance(found, dict) else {}

    @property
    def said(self) -> list[str]:
        said = self.facts.get("said")
        return [line for line in said if isinstance(line, str)] if isinstance(said, list) else []

    @property
    def stage(self) -> str:
        return (self.description and self.description.stage) or "unknown stage"

    @property
    def steps(self) -> tuple[int, int | None]:
        """The last step, and how many were planned."""
        return (self.lines[-1]["step"] if self.lines else 0), self.description and self.description.steps

    @cached_property
    def columns(self) -> dict[str, tuple[list[int], list[float]]]:
        """Steps and values of what is finite in the lines, by name; they are read once, since they may be many."""
        found: dict[str, tuple[list[int], list[float]]] = {}
        for line in self.lines:
            for name, value in line.items():
                if finite(value) is not None:
                    steps, values = found.setdefault(name, ([], []))
                    steps.append(line["step"])
                    values.append(float(value))
        return found

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of what is finite under a name."""
        return self.columns.get(name, ([], []))

    def lost(self) -> list[int]:
        """The steps whose loss was not finite. It is null also where nothing is trained, as while PPO's critic warms
        up, and where a finite loss overflowed float16 backwards, which is normal."""
        return [
            line["step"]
            for line in self.lines
            if "loss" in line and finite(line["loss"]) is None and finite(line.get("trained_share")) != 0
            if line.get("skipped") != "overflow"
        ]

    def state(self, now: float | None = None) -> str:
        """Whether the run came to its end, in words."""
        last, planned = self.steps
        if planned is None:
            return f"step {last:,}; how many were planned is not known"
        if self.description.stopped:
            return f"stopped at step {last:,} of {planned:,}: {self.description.stopped}"
        if last >= planned:
            return counted(f"complete, {last:,} steps")
        seconds = max([finite(line.get("time/seconds")) or 0.0 for line in self.lines[-10:]], default=0.0)
        ago = (time.time() if now is None else now) - self.changed
        if ago < max(SOON, 10 * seconds):
            return f"going on when this page was made, or killed shortly before: step {last:,} of {planned:,}"
        ended = f"ended at step {last:,} of {planned:,}"
        if self.folder.name == "logs":  # an earlier run, moved aside with its save, where no command looks for it
            return ended
        if not (self.folder.parent.parent / f"{self.name}_resume.pth").exists():
            return f"{ended}; beside its logs there is no save to go on from"
        return f"{ended}; the same command with --resume goes on from its last save"


def tell_apart(runs: list[Left]) -> None:
    """Labels of their own for runs of one name: `seed1/full_sft_256`, with as many folders as it takes."""
    places = []
    for left in runs:
        folder = left.folder.resolve()
        above = folder.parent.parent if folder.parent.name == "logs" else folder.parent
        places.append([*above.parts[1:], left.name])
    for number, (left, place) in enumerate(zip(runs, places, strict=True)):
        others = [each for each, other in zip(places, runs) if other is not left and other.name == left.name]
        count = next((n for n in range(1, len(place)) if all(each[-n:] != place[-n:] for each in others)), len(place))
        left.label = left.name if not others else "/".join(place[-count:])
        if place in others:
            left.label += f" ({number + 1})"


def what_is_left(metrics: Path) -> Left:
    """Reads the folder of a `metrics.jsonl`. Damage stops nothing: it is listed in `missing`."""
    left = Left(metrics.parent, changed=metrics.stat().st_mtime)
    left.lines = _lines(metrics, left.missing)
    if lost := left.lost():
        left.missing.append(counted(f"{len(lost):,} steps without a loss: it was not finite"))
    try:
        left.description = read_description(left.folder)
        if left.description is None:
            left.missing.append(f"there is no {NAME}, so plan, flags and environment are not known")
        else:
            left.facts = json.loads((left.folder / NAME).read_text(encoding="utf-8"))
    except SproutError as error:
        left.missing.append(str(error))
    if left.description and not left.flags:
        left.missing.append(f"{NAME} holds no flags and no environment: an earlier version of Sprout wrote it")
    if left.flags.get("sample_interval") != 0 and left.stage not in WITHOUT_SAMPLES:
        left.samples = _samples(left.folder / "samples.jsonl", left.missing)
    left.questions = _questions(left)
    return left


def _objects(path: Path) -> tuple[list[tuple[int, dict]], list[int], bool]:
    """The JSON objects of a file with their line numbers, the numbers of damaged lines, and whether the last is cut."""
    found, damaged, cut = [], [], False
    with open(path, "rb") as file:
        for number, text in enumerate(file, 1):
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                value = None
            if isinstance(value, dict):
                found.append((number, value))
            elif text.endswith(b"\n"):
                damaged.append(number)
            else:
                cut = True
    return found, damaged, cut


def _lines(path: Path, missing: list[str]) -> list[dict]:
    objects, damaged, cut = _objects(path)
    lines, last = [], 0
    for number, line in objects:
        step = line.get("step")
        if isinstance(step, bool) or not isinstance(step, int) or step <= last or step >= 2**53:
            damaged.append(number)
            continue
        if isinstance(line.get("time", {}), dict):
            line = flat(line)
        lines.append(line)
        last = step
    _say_damage(path, sorted(damaged), cut, missing)
    if not lines:
        missing.append(f"{path.name} holds no step yet")
    gaps = (lines[-1]["step"] - len(lines)) if lines else 0
    if gaps > 0:
        missing.append(f"{path.name} lacks {gaps:,} of the {lines[-1]['step']:,} steps")
    return lines


def _say_damage(path: Path, damaged: list[int], cut: bool, missing: list[str]) -> None:
    if damaged:
        named = ", ".join(map(str, damaged[:SAYS_MUCH])) + (", ..." if len(damaged) > SAYS_MUCH else "")
        missing.append(counted(f"{path.name}: left out {len(damaged):,} bad lines ({named})"))
    if cut:
        missing.append(f"{path.name}: the last line was cut short, as a run leaves it that was killed or still writes")


def _samples(path: Path, missing: list[str]) -> list[dict]:
    if not path.is_file():
        missing.append("there is no samples.jsonl: no samples are due yet, or an earlier version of Sprout trained it")
        return []
    objects, damaged, cut = _objects(path)
    whole = [
        each
        for _, each in objects
        if isinstance(each.get("step"), int) and all(isinstance(each.get(key), str) for key in ("prompt", "answer"))
    ]
    known = set(map(id, whole))
    damaged += [number for number, each in objects if id(each) not in known]
    _say_damage(path, sorted(damaged), cut, missing)
    return whole


def _questions(left: Left) -> list[dict]:
    """The results of `eval_model.py --answers --json` about the weight of this run, kept beside its logs or weight."""
    folder = left.folder.parent if left.folder.name == "logs" else left.folder.parent.parent
    of_adapters = folder.name == ADAPTERS
    found = []
    places = [left.folder, folder, *([folder.parent] if of_adapters else [])]
    for path in sorted(path for place in places for path in place.glob("*.json")):
        result = _result(path) or {}
        if of_adapters:
            name = result.get("lora")
        else:
            name = None if "lora" in result else result.get("weight")
        if isinstance(name, str) and left.name in (Path(name).stem, f"{name}_{left.name.rpartition('_')[2]}"):
            found.append({"path": path, **result})
    return found


def results_of_others(runs: list[Left]) -> list[dict]:
    """The results beside the weights of these runs that are about none of them, such as those of a weight that
    `scripts/interpolate.py` made."""
    own = {each["path"].resolve() for left in runs for each in left.questions}
    folders = {left.folder.resolve().parents[1] for left in runs if left.folder.resolve().parent.name == "logs"}
    files = sorted(path for folder in folders for path in folder.glob("*.json") if path.resolve() not in own)
    return [{"path": path, **result} for path in files if (result := _result(path))]


def _result(path: Path) -> dict | None:
    """What a file of results holds, if it is one: an accuracy over questions, and by skill."""
    if path.name == NAME or path.stat().st_size > 2**20:
        return None
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None  # any file may lie in the folder
    known = isinstance(result, dict) and finite(result.get("accuracy")) is not None
    return result if known and isinstance(result.get("skills"), dict) and "weight" in result else None
