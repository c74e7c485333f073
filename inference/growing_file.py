"""A file of records that grows by parts, which a run that was killed goes on with.

Beside FILE stands FILE.progress: what the run depends on, how many inputs it is through with, and how long FILE then
was. Each is written after the records of a part. So a kill between the two leaves records too many, never too few, and
whoever goes on cuts them off first.
"""

import json
import os
from collections import Counter
from pathlib import Path

from inference.arguments import refuse_existing
from model.disk import take, write_atomically
from model.errors import SproutError, UsageError
from model.json_text import json_text


class GrowingFile:
    """JSON lines at `path`, a context; without an exception its progress is removed, since the run has ended.

    identity: what a run that goes on must find as it was, by the words that messages use. resume: whether to go on;
    where there is nothing to go on with, a run begins. After an exception both files stay, unless they say nothing.

    Attributes: `done`, the inputs that earlier parts dealt with; `counts`, what became of them; `records` in the file.
    Raises `UsageError` for a file that is there and not gone on with, and for another identity; `SproutError` for files
    that are damaged or that another run writes.
    """

    def __init__(self, path: str, identity: dict, resume: bool):
        self.path, self._progress, self._identity = Path(path), progress_of(path), identity
        self.done, self.records, self.counts = 0, 0, Counter()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if resume and self._progress.exists():
            self._go_on()
        else:
            self._file = self._new()

    def _new(self):
        """Raises `UsageError` if another run has made the file since the arguments were read."""
        file = open(self.path, "ab", buffering=0)
        self._take(file)
        refuse_existing("--save_file", str(self.path))
        self._note(0)  # so that a run that is killed in its first part can go on, too
        return file

    def _take(self, file) -> None:
        if not take(file.fileno(), self.path):
            file.close()
            raise SproutError(f"another run writes {self.path}: wait for it, or choose another --save_file")

    def _go_on(self) -> None:
        damaged = f"{self.path} is not as its run left it: remove it and {self._progress}, and begin anew"
        try:
            self._file = open(self.path, "r+b", buffering=0)
        except FileNotFoundError as error:
            raise SproutError(damaged) from error
        self._take(self._file)
        try:
            known = json.loads(self._progress.read_bytes())
            identity, length, self.done, self.records = (known[key] for key in ("run", "bytes", "done", "records"))
            self.counts = Counter(known["counts"])
            whole = length <= os.fstat(self._file.fileno()).st_size
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise SproutError(damaged) from error
        if not whole:
            raise SproutError(damaged)
        if identity != self._identity:
            other = next((name for name in self._identity if identity.get(name) != self._identity[name]), "settings")
            raise UsageError(
                f"the run of {self.path} began with another {other}: give the same, or choose another file"
            )
        self._file.truncate(length)
        self._file.seek(length)

    def add(self, records: list[dict], inputs: int, counts: Counter) -> None:
        """Writes the records of a part of the inputs, all of them or none, and that this part is dealt with.

        Raises `SproutError` if the disk is full or cannot be written.
        """
        self._write("".join(json_text(record) + "\n" for record in records).encode("utf-8"))
        self.done, self.records, self.counts = self.done + inputs, self.records + len(records), self.counts + counts
        os.fsync(self._file.fileno())
        self._note(self._file.tell())

    def _note(self, length: int) -> None:
        known = {"run": self._identity, "bytes": length, "done": self.done, "records": self.records}
        text = json.dumps(known | {"counts": self.counts}, indent=1)
        write_atomically(self._progress, lambda file: file.write(text.encode()))

    def _write(self, rest: bytes) -> None:
        whole = self._file.tell()
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except BaseException as error:
            self._file.truncate(whole)
            if not isinstance(error, OSError):
                raise
            from model.unwritable import cannot_write

            kept = f"; the records found before, {self.records:,}, are in it" if self.records else ""
            raise SproutError(f"{cannot_write(self.path, error, False)}{kept}") from error

    def __enter__(self) -> "GrowingFile":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if kind is None or not self.done:
            self._progress.unlink(missing_ok=True)
        if not self.records and not self._progress.exists():
            self.path.unlink(missing_ok=True)
        self._file.close()


def progress_of(path: str) -> Path:
    """The file that says how far the run of `path` has come."""
    return Path(f"{path}.progress")
