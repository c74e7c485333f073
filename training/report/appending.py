"""Files that grow during a run: lines, and events for TensorBoard.

The training thread itself writes them, so that it notices a full disk at once.
"""

import io
import json
import os
import socket
import time
from pathlib import Path

from model.errors import SproutError


class Appending:
    """Appends bytes to `path` without a buffer, whose content could be lost or fail to be written later."""

    def __init__(self, path: Path):
        self.path = path
        try:
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
        self._add(file_version="brain.Event:2")
        if purge_step is not None:
            self._add(step=purge_step, session_log=SessionLog(status=SessionLog.START))
        self.flush()

    def scalar(self, name: str, value: float, step: int) -> None:
        self._add(step=step, summary=self._summary.scalar(name, value))

    def histogram(self, name: str, values, step: int) -> None:
        """values: a tensor on the CPU."""
        self._add(step=step, summary=self._summary.histogram(name, values.numpy(), bins=64))

    def _add(self, **content) -> None:
        self._records.write(self._event(wall_time=time.time(), **content).SerializeToString())

    def flush(self) -> None:
        """Writes what was added. Raises `SproutError` if the disk is full."""
        content = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        self._file.write(content)

    def close(self) -> None:
        self._file.close()
