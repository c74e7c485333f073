"""A file of records that grows by parts, which a run that was killed goes on with.

Beside FILE stands FILE.progress: what the run depends on, how many inputs it is through with, and how long FILE then
was. Each is written after the records of a part. So a kill between the two leaves records too many, never too few, and
whoever goes on cuts them off first.
"""

import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from inference.arguments import is_taken, refuse_existing
from inference.terminal import say
from model.disk import sweep_temporaries, take, write_atomically
from model.errors import SproutError, UsageError
from model.json_text import json_text


class GrowingFile:
    """JSON lines at `path`, a context; without an exception its progress is removed, since the run has ended.

    identity: what a run that goes on must find as it was, by the words that messages use.
    resume: whether to go on; where there is nothing to go on with, a run begins, and says so.
    flag: the one that names `path`. replaces: a run that begins takes the place of one that did not end, if
    that has left no record.

    After an exception both files stay, unless they say nothing, and how to go on is said, where the same command can:
    not after a `UsageError`, nor if the files are damaged.

    Attributes: `done`, the inputs that earlier parts dealt with; `counts`, what became of them; `records` in the file.
    Raises `UsageError` for a file that is there and not gone on with, and for another identity; `SproutError` for files
    that are damaged or that another run writes.
    """

    def __init__(self, path: str, identity: dict, resume: bool, flag: str = "--save_file", replaces: bool = False):
        self.path = Path(path)
        self.done = 0
        self.records = 0
        self.counts = Counter()
        self._progress = progress_of(path)
        self._identity = identity
        self._flag = flag
        self._is_damaged = False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        sweep_temporaries(self.path.parent)
        goes_on = resume and self._progress.exists()
        self._file = self._open("r+b" if goes_on else "ab")
        try:
            if goes_on:
                self._go_on()
            else:
                if resume:
                    say(f"there is no unfinished run of {path}: begins")
                if replaces and self._progress.exists():
                    self._refuse_losing()
                    self._file.truncate(0)
                self._begin()
        except BaseException:
            self._file.close()
            raise

    def _open(self, mode: str):
        """The file with its lock. A run that came to its end after the file was opened may have removed it."""
        try:
            file = open(self.path, mode, buffering=0)
        except FileNotFoundError as error:
            raise self.damaged() from error
        if not take(file.fileno(), self.path) or not _is_at(file, self.path):
            file.close()
            raise SproutError(f"another run writes {self.path}: wait for it, or choose another {self._flag}")
        return file

    def _refuse_losing(self) -> None:
        """Raises `UsageError` if a run that did not end has left records, and nobody has removed them since."""
        if not os.fstat(self._file.fileno()).st_size:
            return
        try:
            kept = json.loads(self._progress.read_bytes())["records"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return  # it is damaged: no run goes on with it
        if kept:
            raise UsageError(
                f"{self.path} keeps {kept:,} records of a run that did not end: go on with it by --resume, or remove"
                f" it and {self._progress} to begin anew"
            )

    def _begin(self) -> None:
        """Raises `UsageError` if another run has made the file since the arguments were read."""
        refuse_existing(self._flag, str(self.path))
        try:
            self._note(0)  # so that a run that is killed in its first part can go on, too
        except BaseException:
            self._progress.unlink(missing_ok=True)  # it would say of nothing that it did not end
            raise

    def _go_on(self) -> None:
        if not self._progress.exists():
            raise UsageError(f"another run has just finished {self.path}: choose another {self._flag}")
        try:
            known = json.loads(self._progress.read_bytes())
            identity, length, self.done, self.records = (known[key] for key in ("run", "bytes", "done", "records"))
            self.counts = Counter(known["counts"])
            whole = length <= os.fstat(self._file.fileno()).st_size
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise self.damaged() from error
        if not whole:
            raise self.damaged()
        if identity != self._identity:
            other = next((name for name in self._identity if identity.get(name) != self._identity[name]), "settings")
            raise UsageError(
                f"the run of {self.path} began with another {other}: give the same, or choose another file"
            )
        self._file.truncate(length)
        self._file.seek(length)

    def damaged(self) -> SproutError:
        """The error to raise where the records in the file are not those of a run."""
        self._is_damaged = True
        return SproutError(f"{self.path} is not as its run left it: remove it and {self._progress}, and begin anew")

    def earlier(self) -> Iterator[str]:
        """The lines of the records that an earlier run has written."""
        with open(self.path, encoding="utf-8", newline="\n") as file:
            yield from itertools.islice(file, self.records)

    def add(self, records: list[dict], inputs: int, counts: Counter) -> None:
        """Writes the records of a part of the inputs, all of them or none, and that this part is dealt with.

        Raises `SproutError` if the disk is full or cannot be written.
        """
        self._write("".join(json_text(record) + "\n" for record in records).encode("utf-8"))
        self.done += inputs
        self.records += len(records)
        self.counts = self.counts + counts
        os.fsync(self._file.fileno())
        self._note(self._file.tell())

    def forget(self) -> None:
        """Drops all records, since a result that has them is written: both files are removed at the end."""
        self.done = self.records = 0
        self.counts = Counter()
        self._note(0)
        self._file.truncate(0)

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
        elif not (self._is_damaged or isinstance(error, UsageError)):
            say(f"{self.path} keeps what was found; the same command with --resume goes on")
        if not self.records and not self._progress.exists():
            if os.name == "nt":  # Windows removes no open file; elsewhere the lock is held until the file is gone
                self._file.close()
            self.path.unlink(missing_ok=True)
        self._file.close()


def _is_at(file, path: Path) -> bool:
    """Whether the open `file` is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def refuse_taken(flag: str, path: str, resume: bool) -> None:
    """Raises `UsageError` if a run with or without `resume` would not write the file that `flag` names."""
    if not Path(path).name:
        raise UsageError(f"{flag} {path} is a folder: name a file in it")
    if progress_of(path).exists():
        if not resume:
            raise UsageError(f"{flag} {path} is of a run that did not end: go on with it by --resume")
    elif is_taken(path) and resume:
        raise UsageError(f"{flag} {path} is of no run that was interrupted, so it is left as it is")
    else:
        refuse_existing(flag, path)


def progress_of(path: str) -> Path:
    """The file that says how far the run of `path` has come."""
    return Path(f"{path}.progress")
