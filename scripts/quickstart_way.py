"""Runs several commands in order, as a user would type them, and resumes where it was interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from dataset.sample.files import sample_path, version
from inference.growing_file import progress_of
from model.config import preset
from model.disk import write_atomically
from model.earlier import move_to_earlier
from model.errors import SproutError
from model.json_text import json_text
from training.report.description import duration
from training.report.going_on import command_to_go_on, in_words

# Signals that end the quickstart are passed to the running stage, which saves first.
FORWARDED = [signal.SIGINT, signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])
BEGUN = "begun"  # the state of a stage that has not ended


@dataclass(frozen=True)
class Stage:
    """One command, and the file that shows that it is done."""

    title: str
    command: tuple[str, ...]  # without the interpreter
    result: Path
    resume: Path | None = None  # exists if it was interrupted and can be resumed
    capture: bool = False  # whether its output is the result
    leaves: Path | None = None  # a further output file, which it would refuse to overwrite


@dataclass(frozen=True)
class Place:
    """The folder of the quickstart, and the flags that all its trainings share."""

    out: Path
    seed: int
    max_steps: int | None = None

    @property
    def where(self) -> tuple[str, str]:
        return "--out_dir", str(self.out)

    def weight(self, name: str, hidden: int = preset("tiny").hidden_size) -> Path:
        return self.out / f"{name}_{hidden}.pth"

    def sample(self, name: str) -> str:
        return str(sample_path(name, self.out))

    def training(self, title: str, command: str, *more: str, result: Path) -> Stage:
        """A stage script with its flags, as one would type them, and `more` that may hold blanks."""
        limit = ("--max_steps", str(self.max_steps)) if self.max_steps else ()
        words = (*command.split(), *more, *self.where, "--seed", str(self.seed), *limit)
        return Stage(title, words, result, result.with_name(f"{result.stem}_resume.pth"))

    def examination(
        self,
        title: str,
        name: str,
        flags: str,
        questions: str = "questions",
        max_new_tokens: int = 64,
        keep: bool = False,
    ) -> Stage:
        """Greedy answers to a file of the sample data; <name>.json says how many are right.

        keep: the answers themselves go to <name>.jsonl.
        """
        result, answers = self.out / f"{name}.json", self.out / f"{name}.jsonl"
        asking = ("--data_path", self.sample(questions), "--answers", "--json", "--max_new_tokens", str(max_new_tokens))
        saving = ("--save_answers", str(answers)) if keep else ()
        command = ("eval_model.py", *flags.split(), *self.where, *asking, *saving)
        kept = {"leaves": answers, "resume": progress_of(str(answers))} if keep else {}
        return Stage(title, command, result, capture=True, **kept)


class Done:
    """Which commands are done or have begun in a folder; kept in a file."""

    def __init__(self, path: Path):
        self._path = path
        states = _read(path)
        whole = all(isinstance(each, list) and each and isinstance(each[0], str) for each in states.values())
        self._states: dict[str, list] = states if whole else {}

    def has(self, stage: Stage) -> bool:
        """Whether this very command has ended well and its result is still there."""
        is_there = bool(_read(stage.result)) if stage.capture else stage.result.exists()
        return is_there and self._states.get(stage.title) == ["ended", *self._mark(stage)]

    def was_begun(self, stage: Stage) -> bool:
        """Whether this very command was interrupted, and left a state of its own to go on from."""
        if stage.resume is None or not stage.resume.exists():
            return False
        beginning, *mark = self._states.get(stage.title, [""])
        return mark == self._mark(stage) and beginning.startswith(BEGUN) and beginning != _beginning(stage)

    def begin(self, stage: Stage) -> None:
        """Notes that a stage begins, and forgets all later ones, which must then run again, too."""
        titles = list(self._states)
        if stage.title in titles:
            for title in titles[titles.index(stage.title) :]:
                del self._states[title]
        self._write(stage, _beginning(stage))

    def end(self, stage: Stage) -> None:
        self._write(stage, "ended")

    def _mark(self, stage: Stage) -> list[str]:
        return [version(), *stage.command]  # other sample data need other runs

    def _write(self, stage: Stage, state: str) -> None:
        self._states[stage.title] = [state, *self._mark(stage)]
        content = json_text(self._states, indent=1).encode()
        write_atomically(self._path, lambda file: file.write(content))


def _read(path: Path) -> dict:
    """The JSON object in a file; empty where there is none, or it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _beginning(stage: Stage) -> str:
    """How a stage begins: beside the state of another command, which is not one to go on from, or without."""
    if stage.resume is None or not stage.resume.exists():
        return BEGUN
    return f"{BEGUN} beside the state of {stage.resume.stat().st_mtime_ns}"


def perform(stage: Stage, done: Done) -> None:
    """Runs the command of a stage, going on with it if it was interrupted, and says how long it took.

    What other commands left under its names is moved to `earlier`: a training does so itself.
    """
    started = time.monotonic()
    resumes = done.was_begun(stage)
    if not resumes:
        done.begin(stage)
    written = (stage.result, stage.leaves, stage.resume) if stage.capture and not resumes else ()
    if there := [path for path in written if path and path.exists()]:
        move_to_earlier(there, stage.result.parent, stage.result.stem)
    printed = call((*stage.command, *(("--resume",) if resumes else ())), capture=stage.capture)
    if stage.capture:
        write_atomically(stage.result, lambda file: file.write(printed.encode()))
    done.end(stage)
    print(f"    took {duration(time.monotonic() - started)}", flush=True)


def call(command: tuple[str, ...], capture: bool = False) -> str:
    """Prints a command, runs it, and returns what it printed if that is to be captured.

    The command runs in its own session, so that Ctrl-C reaches it once, through us, and it saves before it ends. On
    such a signal, raises `SystemExit` after one line that says how to go on; raises `SproutError` if the command fails.
    """
    print(f"    {in_words(['python', *command])}\n", flush=True)
    process, received, early = None, [], []

    def forward(number, frame):
        received.append(number)
        if process is None:
            early.append(number)
        else:
            process.send_signal(number)

    heard = [number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores one
    before = {number: signal.signal(number, forward) for number in heard}
    try:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
            stdout=subprocess.PIPE if capture else None,
            encoding="utf-8",
            start_new_session=True,
        )
        for number in early:  # while it began: nobody else would end it
            process.send_signal(number)
        printed, _ = process.communicate()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        stop(received[0])
    if process.returncode:
        raise SproutError(f"{command[0]} {ending(process.returncode)}; go on with: {command_to_go_on()}")
    return printed or ""


def ending(code: int) -> str:
    """How a command ended that failed, in words. A negative code is the signal that killed it."""
    if code >= 0:
        return f"ended with exit code {code}: the reason stands above"
    if code == -9:  # SIGKILL, which Windows does not have
        return (
            "was killed by the system, most likely because the memory was used up: close other programs,"
            " and look at the memory that its plan names"
        )
    return f"was ended by the signal {signal.Signals(-code).name}"


def stop(number: int) -> None:
    print(f"\nstopped; go on with: {command_to_go_on()}", flush=True)
    raise SystemExit(128 + number)


if __name__ == "__main__":
    print(__doc__)
