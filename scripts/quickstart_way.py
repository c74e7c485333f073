"""A way of several commands, one after another: run as a user would type them, and taken up where it was left."""

import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dataset.sample import version
from model.errors import SproutError
from model.files import write_atomically

# Signals that end the quickstart are handed to the stage that is running, which saves first.
FORWARDED = [signal.SIGINT, signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])


@dataclass(frozen=True)
class Stage:
    """One command of the way, and the file by which one sees that it came to its end."""

    title: str
    command: tuple[str, ...]  # without the interpreter
    result: Path
    resume: Path | None = None  # there, if it was interrupted and can go on
    capture: bool = False  # what it prints is the result


class Done:
    """Which commands have come to their end, or have begun, in a folder; kept in a file."""

    def __init__(self, path: Path):
        self._path = path
        try:
            self._states: dict[str, list] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._states = {}

    def has(self, stage: Stage) -> bool:
        """Whether this very command has ended well and its result is still there."""
        return self._states.get(stage.title) == ["ended", *self._mark(stage)] and stage.result.exists()

    def was_begun(self, stage: Stage) -> bool:
        """Whether this very command was interrupted, and left a state to go on from."""
        begun = self._states.get(stage.title) == ["begun", *self._mark(stage)]
        return begun and stage.resume is not None and stage.resume.exists()

    def begin(self, stage: Stage) -> None:
        """What comes after a stage that is done anew has to be done anew as well."""
        titles = list(self._states)
        if stage.title in titles:
            for title in titles[titles.index(stage.title) :]:
                del self._states[title]
        self._write(stage, "begun")

    def end(self, stage: Stage) -> None:
        self._write(stage, "ended")

    def _mark(self, stage: Stage) -> list[str]:
        return [version(), *stage.command]  # other sample data are another way

    def _write(self, stage: Stage, state: str) -> None:
        self._states[stage.title] = [state, *self._mark(stage)]
        content = json.dumps(self._states, ensure_ascii=False, indent=1).encode()
        write_atomically(self._path, lambda file: file.write(content))


def perform(stage: Stage, done: Done) -> None:
    """Runs the command of a stage, going on with it if it was interrupted."""
    resumes = done.was_begun(stage)
    if not resumes:
        if stage.resume is not None:  # of an earlier way; the weights are kept aside by the stage itself
            stage.resume.unlink(missing_ok=True)
        done.begin(stage)
    printed = call((*stage.command, *(("--resume",) if resumes else ())), capture=stage.capture)
    if stage.capture:
        write_atomically(stage.result, lambda file: file.write(printed.encode()))
    done.end(stage)


def call(command: tuple[str, ...], capture: bool = False) -> str:
    """Prints a command, runs it, and returns what it printed if that is to be captured.

    The command runs in a session of its own, so that Ctrl-C reaches it once, through us, and it saves before it ends.
    Leaves by `SystemExit` on such a signal, with one line that says how to go on; raises `SproutError` if the command
    fails by itself.
    """
    print(f"    python {shlex.join(command)}\n", flush=True)
    process = subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE if capture else None,
        encoding="utf-8",
        start_new_session=True,
    )
    received: list[int] = []

    def forward(number, frame):
        received.append(number)
        process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        printed, _ = process.communicate()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        stop(received[0])
    if process.returncode:
        raise SproutError(
            f"{command[0]} ended with exit code {process.returncode}: the reason stands above;"
            " run this again to go on from there"
        )
    return printed or ""


def stop(number: int) -> None:
    print("\nstopped: run the same command again, and it goes on from here", flush=True)
    raise SystemExit(128 + number)
