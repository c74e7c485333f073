"""The folder of a run that is not finished: whole files, so that a run that was killed goes on behind the last of them.

Everything lies in `unfinished/` of the folder of results, which is removed when the results are in place.
"""

import json
import shutil
import zlib
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from dataset.records.reading import bar_over
from model.disk import take, write_atomically
from model.errors import SproutError, UsageError

VERSION = 5  # of what is written here, and of what a run makes of the same input
SEALS = "seals.jsonl"


def file_of(folder: str | Path, stage: str, number: int, end: str) -> Path:
    """The file that a stage writes for a chunk."""
    return Path(folder) / stage / f"{number:07}.{end}"


def write_sealed(folder: str | Path, path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Writes a file in `folder`, that of the run, as `write_atomically` does. A run that goes on knows by its checksum
    whether it is still as it was written."""

    def sealed(file: BinaryIO) -> None:
        write(file)
        file.flush()
        seal = json.dumps([str(path.relative_to(folder)), _checksum(file.name)])
        with open(Path(folder, SEALS), "ab", buffering=0) as seals:  # one write: processes do so at the same time
            seals.write(f"\n{seal}\n".encode())

    write_atomically(path, sealed)


def _checksum(path: str | Path) -> int:
    found = 0
    with open(path, "rb", buffering=0) as file:
        while block := file.read(2**20):
            found = zlib.crc32(block, found)
    return found


def fingerprint(run: dict) -> str:
    """A hash of the settings and the input of a run."""
    return blake2b(json.dumps({"version": VERSION, **run}, sort_keys=True).encode(), digest_size=16).hexdigest()


class WorkFolder:
    """Attributes: `path`; `resumed`, whether an earlier run's work is there; `fingerprint` of settings and input."""

    def __init__(self, save_dir: Path, run: dict, resume: bool):
        """run: settings and input; a run may go on only where they are the same.

        Raises UsageError where unfinished work is there and not to be gone on with, or was begun otherwise; SproutError
        where another process is at work.
        """
        self.path = save_dir / "unfinished"
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.path / "lock", "ab")
        if not take(self._lock.fileno(), self.path / "lock"):
            raise SproutError(f"another process is preparing data in {save_dir}: wait for it, or choose another folder")
        begun, run = self.path / "run.json", {"version": VERSION, **run}
        self.fingerprint = fingerprint(run)
        self.resumed = begun.exists()
        if not self.resumed:
            for left in self.path.iterdir():  # of a run that was killed while it removed its folder
                if left.name != "lock":
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
            self.write("run.json", run)
            return
        if not resume:
            raise UsageError(
                f"{save_dir} holds an unfinished run: add --resume to go on, or remove {self.path} to begin anew"
            )
        earlier = self.read("run.json")
        if not isinstance(earlier, dict):
            raise self._damaged("run.json")
        changed = [key for key in run if json.loads(json.dumps(run[key])) != earlier.get(key)]
        if changed:
            raise UsageError(
                f"{self.path} was begun with other {' and '.join(changed)}: use the same, or remove that folder"
            )
        self._check_seals()

    def _check_seals(self) -> None:
        """Raises SproutError for a file that is not as it was written."""
        path, seals = self.path / SEALS, {}
        for line in path.read_bytes().splitlines() if path.exists() else ():
            try:
                name, checksum = json.loads(line)
            except ValueError:  # between two lines, or cut off by a kill
                continue
            # A run that was killed may have sealed a file that did not take its place any more.
            seals.setdefault(name, set()).add(checksum)
        there = {name: (self.path / name).stat().st_size for name in seals if (self.path / name).is_file()}
        with bar_over(sum(there.values()), "looking at the work so far") as bar:
            for name, size in there.items():
                if _checksum(self.path / name) not in seals[name]:
                    raise self._damaged(name)
                bar.update(size)

    def write(self, name: str, value) -> None:
        """Bytes of a file name that are not UTF-8 are written as JSON escapes, `\\udcc4`."""
        content = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
        write_sealed(self.path, self.path / name, lambda file: file.write(content))

    def read(self, name: str):
        """What `write` wrote under this name; None where it is not there. Raises SproutError where it is damaged."""
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        except (ValueError, RecursionError) as error:
            raise self._damaged(name) from error

    def _damaged(self, name: str) -> SproutError:
        return SproutError(f"{self.path / name} is damaged: remove {self.path}, and begin anew")

    def holds_anything(self) -> bool:
        """Whether a chunk is done, or was."""
        return (self.path / "chunks.json").exists() or any((self.path / "cleaned").glob("*.jsonl"))

    def remove(self) -> None:
        (self.path / "run.json").unlink()  # first: what is left after a kill is no unfinished run
        self._lock.close()
        shutil.rmtree(self.path)
