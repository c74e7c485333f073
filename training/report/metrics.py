"""The logs of a run: `metrics.jsonl`, TensorBoard events and `loss.png`, in out/logs/<weight>_<hidden>/.

The training thread itself writes them, so that it notices a full disk at once.
"""

import io
import json
import math
import os
import socket
import time
from pathlib import Path

from model.errors import SproutError


class Metrics:
    """Writes a line per step. A run resumed at step n first deletes every later line, so that no step occurs twice."""

    def __init__(self, folder: str | Path, resume_step: int = 0):
        self.folder = Path(folder)
        self.path = self.folder / "metrics.jsonl"
        self._next_drawing = 0.0
        self.kept = 0  # lines in the file
        self.describe = lambda: None  # a run puts here what writes run.json, beside the file
        if any(self.folder.glob("*.jsonl")):
            from training.report.kept import keep_until  # a run that begins anew does not load it

            self.kept = keep_until(resume_step, self.folder)
        self._file = Appending(self.path)
        self.events = Events(self.folder, purge_step=resume_step + 1 if resume_step else None)

    def write(self, line: dict) -> None:
        """Appends `line` (with a `step`, and no objects in it); numbers go to TensorBoard too.

        JSON has no NaN: it becomes null. Raises `SproutError` if the disk is full.
        """
        line = {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in line.items()}
        self._file.write(as_text(line))
        self.kept += 1
        for name, value in numbers_of(line).items():
            self.events.scalar(name, value, line["step"])
        self.events.flush()

    def keep(self, step: int, samples: list[dict]) -> None:
        """Appends what the network wrote after a step to `samples.jsonl`."""
        if samples:
            file = Appending(self.folder / "samples.jsonl")
            file.write(b"".join(as_text({"step": step} | each) for each in samples))
            file.close()

    def draw(self, sparingly: bool = False) -> None:
        """Redraws `loss.png` from all lines; with `sparingly`, only so often that it takes at most 2 % of the time."""
        started = time.monotonic()
        if (sparingly and started < self._next_drawing) or self.kept < 3:  # a curve has more points
            return
        from training.report.loss_curve import draw_metrics

        draw_metrics(self)
        self._next_drawing = started + 50 * (time.monotonic() - started)

    def sync(self) -> None:
        """Forces what was written onto the disk (before a checkpoint that relies on it)."""
        self._file.sync()

    def close(self) -> None:
        self._file.close()
        self.events.close()


def numbers_of(line: dict) -> dict[str, float]:
    """The numbers of a line by name, without its step."""
    numbers = {name: value for name, value in line.items() if isinstance(value, int | float) and name != "step"}
    return {name: value for name, value in numbers.items() if not isinstance(value, bool)}


class Appending:
    """Appends bytes to `path` without a buffer, whose content could be lost or fail to be written later."""

    def __init__(self, path: Path):
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)  # somebody may have removed it: see `kept.begin_anew`
            self._file = open(path, "ab", buffering=0)
        except OSError as error:
            raise self._failed(error) from error

    def write(self, content: bytes) -> None:
        """Raises `SproutError` if the disk is full; a part of `content` may then be in the file."""
        try:
            while content:
                content = content[self._file.write(content) :]
        except OSError as error:
            raise self._failed(error) from error

    def sync(self) -> None:
        """Forces what was written onto the disk."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        self._file.close()

    def _failed(self, error: OSError) -> SproutError:
        from training.report.going_on import cannot_append

        return cannot_append(self.path, error)


def as_text(line: dict) -> bytes:
    """As `model.json_text`, a file less to load: a line has no NaN and only types of JSON."""
    return json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


class Events:
    """A file of events in `folder`. `purge_step`: events of earlier files from this step on are void."""

    def __init__(self, folder: Path, purge_step: int | None = None):
        # Imported here, because they take a second to import.
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter
        from torch.utils.tensorboard import summary

        self._event, self._summary = Event, summary
        self._buffer = io.BytesIO()
        self._records = RecordWriter(self._buffer)
        seconds, rest = divmod(time.time_ns(), 10**9)  # the viewer reads files in the order of their names
        name = f"events.out.tfevents.{seconds:010d}.{socket.gethostname()}.{os.getpid()}.{rest:09d}"
        self._file = Appending(folder / name)
        self.add(file_version="brain.Event:2")
        if purge_step is not None:
            self.add(step=purge_step, session_log=SessionLog(status=SessionLog.START))
        self.flush()

    def scalar(self, name: str, value: float, step: int) -> None:
        self.add(step=step, summary=self._summary.scalar(name, value))

    def add(self, **content) -> None:
        """Adds an event; content: the fields of TensorBoard's `Event`."""
        self._records.write(self._event(wall_time=time.time(), **content).SerializeToString())

    def flush(self) -> None:
        """Writes what was added. Raises `SproutError` if the disk is full."""
        content = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        self._file.write(content)

    def close(self) -> None:
        self._file.close()
