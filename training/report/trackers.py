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
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from model.disk import write_atomically
from model.errors import SproutError, UsageError
from training.report.lines import read_metrics
from training.report.metrics import Metrics, numbers_of

MOST_WAITING = 10_000  # lines that the tracker has not taken; further ones are not sent
PATIENCE = 60.0  # seconds that the end of a run waits for the tracker to take the last lines


def tracked(run) -> Callable[..., "TrackedMetrics"]:
    """What opens the metrics of a `training.engine.run.Run`, in place of `Metrics`.

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
    return partial(TrackedMetrics, run, package)


class TrackedMetrics(Metrics):
    """`Metrics` that go to the tracker `package`, too. The id of the run there is kept beside them in `tracker.json`.

    Raises `SproutError` if the tracker cannot begin. What fails later is said once, and training goes on.
    """

    def __init__(self, run, package, folder: str | Path, resume_step: int = 0):
        name, args, path = package.__name__, run.args, Path(folder) / "tracker.json"
        ids = _ids_in(path)
        # A run that was killed repeats steps, to the bit, that it has sent already.
        sent = read_metrics(path.with_name("metrics.jsonl")) if name in ids else []
        self._sent = sent[-1]["step"] if sent else resume_step
        super().__init__(folder, resume_step)
        ids.setdefault(name, secrets.token_hex(4))
        config = {key: value for key, value in vars(args).items() if value is not None}
        config |= {"network": run.model.config.to_dict(), "run": asdict(run.description)}
        self._name, self._say, self._failed, self._warned = name, run.say, False, False
        self._lines = queue.SimpleQueue()  # (numbers, step); None is the end
        began = queue.SimpleQueue()
        begin = partial(_begin, package, args.tracker_project, self.folder.name, ids[name], args.out_dir, config)
        self._thread = threading.Thread(target=self._send, args=(begin, began.put), name=name, daemon=True)
        self._thread.start()
        if (error := began.get()) is not None:
            raise SproutError(f"{name} cannot begin ({error}): {_ADVICE[name]}, or leave out --tracker") from error
        write_atomically(path, lambda file: file.write(json.dumps(ids).encode() + b"\n"))
        self._say(f"tracker   {name}: project {args.tracker_project}, run {self.folder.name} ({ids[name]})")

    def write(self, line: dict) -> None:
        super().write(line)
        if line["step"] <= self._sent:
            return
        if self._lines.qsize() < MOST_WAITING:
            numbers = {name: value for name, value in numbers_of(line).items() if math.isfinite(value)}
            self._lines.put((numbers, line["step"]))
        else:
            self._warn(f"it does not answer, and {MOST_WAITING:,} lines wait already")

    def close(self) -> None:
        super().close()
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
            _finish(self._name, tracker, self._failed)
        except Exception as error:
            self._warn(error)

    def _warn(self, why) -> None:
        if not self._warned:
            self._warned = True
            self._say(f"warning: {self._name} fails ({why}); training continues, and {self.path} has every line")


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
