"""`--tracker wandb|swanlab|trackio`: the numbers that TensorBoard gets of a run go to an experiment tracker, too.

No tracker is needed to train: their packages are extras, and only a run that asks for one loads this file. A separate
thread makes all calls of the package. So a call that waits for the network holds up no step, and SwanLab does not end
the run on Ctrl-C by itself: it takes over the signal only in the main thread.
"""

import importlib
import json
import math
import os
import queue
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from model.disk import write_atomically
from model.errors import SproutError, UsageError
from training.report.lines import read_metrics
from training.report.metrics import Metrics, numbers_of

MOST_WAITING = 10_000  # lines that the tracker has not taken; further ones are not sent
PATIENCE = 60.0  # seconds that the end of a run waits for the tracker to take the last lines


def tracked(run) -> Callable[..., AbstractContextManager[Callable[..., "TrackedMetrics"]]]:
    """What begins the tracker for a `training.engine.run.Run`: a context of what opens its metrics, for `Metrics`.

    Raises `UsageError` at once, before data and network are read, if the package is missing or no tracker is asked for.
    """
    name = run.args.tracker
    if name == "tensorboard":  # which has no projects
        raise UsageError(
            "--tracker_project is for --tracker wandb, swanlab or trackio: give one of them, or leave it out"
        )
    os.environ.setdefault("TRACKIO_DIR", str(Path(run.args.out_dir) / "trackio"))  # Trackio reads it at its import
    try:
        package = importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f'--tracker {name} needs {error.name}, which is not installed: pip install -e ".[{name}]" brings it'
        ) from error
    return partial(begin, run, package)


@contextmanager
def begin(run, package, folder: Path, resume_step: int) -> Iterator[Callable[..., "TrackedMetrics"]]:
    """Begins the tracker's run of the logs `folder`, before anything of an earlier result is moved, and ends it where
    that, or the opening of the metrics, fails.

    Raises `SproutError` if the tracker cannot begin.
    """
    tracker = Tracker(run, package, folder, resume_step)
    try:
        yield partial(TrackedMetrics, tracker)
    except BaseException:
        tracker.close()
        raise


class Tracker:
    """The run of the tracker `package`. What fails after its beginning is said once, and training goes on."""

    def __init__(self, run, package, folder: Path, resume_step: int):
        self.name, args = package.__name__, run.args
        self.ids = _ids_in(folder / "tracker.json") if args.resume else {}  # else it is of an earlier result
        # A run that was killed repeats steps, to the bit, that it has sent already.
        sent = read_metrics(folder / "metrics.jsonl") if self.name in self.ids else []
        self.sent = sent[-1]["step"] if sent else resume_step
        id = self.ids.setdefault(self.name, secrets.token_hex(4))
        config = {key: value for key, value in vars(args).items() if value is not None}
        config |= {"network": run.model.config.to_dict(), "run": asdict(run.description)}
        self._say, self._failed, self._warned, self._folder = run.say, False, False, folder
        self._lines = queue.SimpleQueue()  # (numbers, step); None is the end
        began = queue.SimpleQueue()
        start = partial(_begin, package, args.tracker_project, folder.name, id, args.out_dir, config)
        self._thread = threading.Thread(target=self._send, args=(start, began.put), name=self.name, daemon=True)
        self._thread.start()
        if (error := began.get()) is not None:
            advice = f"{_ADVICE[self.name]}, or leave out --tracker"
            raise SproutError(f"{self.name} cannot begin ({error}): {advice}") from error
        self._say(f"tracker   {self.name}: project {args.tracker_project}, run {folder.name} ({id})")

    def write(self, line: dict) -> None:
        if line["step"] <= self.sent:
            return
        if self._lines.qsize() < MOST_WAITING:
            numbers = {name: value for name, value in numbers_of(line).items() if math.isfinite(value)}
            self._lines.put((numbers, line["step"]))
        else:
            self._warn(f"it does not answer, and {MOST_WAITING:,} lines wait already")

    def close(self) -> None:
        self._failed = sys.exception() is not None  # a run that ends early is closed while its exception passes
        self._lines.put(None)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._warn(f"it has not taken the last lines within {PATIENCE:.0f} seconds")

    def _send(self, begin: Callable, began: Callable) -> None:
        """What the thread does, from the beginning of the tracker's run to its end."""
        try:
            tracker = begin()
        except BaseException as error:  # some call sys.exit
            return began(error)
        began(None)
        for line in iter(self._lines.get, None):
            try:
                tracker.log(line[0], step=line[1])
            except Exception as error:
                self._warn(error)
        try:
            _finish(self.name, tracker, self._failed)
        except Exception as error:
            self._warn(error)

    def _warn(self, why) -> None:
        if not self._warned:
            self._warned = True
            path = self._folder / "metrics.jsonl"
            self._say(f"warning: {self.name} fails ({why}); training continues, and {path} has every line")


class TrackedMetrics(Metrics):
    """`Metrics` that go to a tracker, too. The id of the run there is kept beside them in `tracker.json`."""

    def __init__(self, tracker: Tracker, folder: str | Path, resume_step: int = 0):
        super().__init__(folder, resume_step)
        self._tracker, ids = tracker, json.dumps(tracker.ids).encode()
        write_atomically(self.folder / "tracker.json", lambda file: file.write(ids + b"\n"))

    def write(self, line: dict) -> None:
        super().write(line)
        self._tracker.write(line)

    def close(self) -> None:
        super().close()
        self._tracker.close()


def _ids_in(path: Path) -> dict[str, str]:
    """The id of the run in each tracker that it was sent to, by the tracker's name."""
    try:
        ids = json.loads(path.read_bytes()) if path.exists() else {}
        if not isinstance(ids, dict) or not all(isinstance(id, str) for id in ids.values()):
            raise ValueError("it holds no ids")
    except ValueError as error:
        raise SproutError(f"{path} is damaged ({error}): delete it, and the tracker begins a new run") from error
    return ids


_ADVICE = {
    "wandb": "log in with `wandb login`, or set WANDB_MODE=offline",
    "swanlab": "log in with `swanlab login`, or set SWANLAB_MODE=offline",
    "trackio": "do what its message says",
}


def _begin(package, project: str, name: str, id: str, folder: str, config: dict):
    """The run of the tracker: a new one, or that of this id again. Its files lie in `folder`."""
    settings = {"project": project, "config": config, "resume": "allow"}
    if package.__name__ == "wandb":
        return package.init(name=name, id=id, dir=folder, **settings)
    if package.__name__ == "swanlab":
        return package.init(name=name, id=id, log_dir=str(Path(folder) / "swanlog"), **settings)
    return package.init(name=f"{name}_{id}", **settings)  # Trackio knows a run by its name


def _finish(name: str, tracker, failed: bool) -> None:
    if name == "wandb":
        tracker.finish(exit_code=int(failed))
    elif name == "swanlab":
        tracker.finish("crashed" if failed else "success", "ended before its last step" if failed else None)
    else:
        tracker.finish()  # Trackio does not tell how a run ended
