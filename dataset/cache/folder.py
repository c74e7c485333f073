"""Data files, which are known by the hash of their content, and folders made of them.

A folder is built once and then only read. It is whole or absent: it is built under another name, by one process at a
time, and renamed when it has reached the disk. Its meta.json, which says what is in it, is written last and carries a
checksum of itself.
"""

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dataset.records.reading import bar_over, files_of
from model.disk import exclusive, sweep_temporaries, sync_folder, write_atomically
from model.errors import SproutError

Opened = TypeVar("Opened")

# File systems stamp a change with a clock that ticks in up to 2 seconds (FAT). A file changed this recently
# could change once more under the same stamp, so its hash is not remembered ("racily clean" in git's words).
_CLOCK_TICK_NS = 3 * 10**9


def file_stamp(path: str | Path) -> dict[str, int | list]:
    """What changes, in practice, whenever the content of the file, or of any file of the folder, does."""
    files = []
    for file in files_of(path):
        stat = os.stat(file)
        files.append([file.name, stat.st_size, stat.st_mtime_ns, stat.st_ino])
    _, sizes, changed, inodes = zip(*files)
    stamp = {"size": sum(sizes), "mtime_ns": max(changed), "inode": inodes[0]}
    if len(files) > 1:
        stamp["files"] = files
    return stamp


def content_hash(path: str | Path, notes: Path, progress: bool = True) -> str:
    """SHA-256 of the file, as hex digits; a note in the folder `notes` remembers it.

    The note is believed while the stamp is that of what was hashed. Writing, replacing or restoring a file changes it;
    whoever sets the clock of a file back after editing it in place, keeping its size, has to delete the cache.
    """
    name = hashlib.sha256(os.path.realpath(path).encode("utf-8", "surrogateescape")).hexdigest()[:24]
    note = notes / f"{name}.json"
    stamp = file_stamp(path)
    known = _read_note(note)
    if known is not None and known.get("stamp") == stamp:
        return known["sha256"]

    begun = time.time_ns()
    digest = hashlib.sha256()
    with bar_over(stamp["size"], f"looking at {Path(path).name}", shown=progress) as bar:
        for part in files_of(path):
            with open(part, "rb", buffering=0) as file:
                while block := file.read(2**20):
                    digest.update(block)
                    bar.update(len(block))
    if begun - stamp["mtime_ns"] > _CLOCK_TICK_NS and file_stamp(path) == stamp:
        note_text = json.dumps({"path": os.path.realpath(path), "stamp": stamp, "sha256": digest.hexdigest()})
        sweep_temporaries(notes)
        write_atomically(note, lambda file: file.write(note_text.encode("utf-8", "backslashreplace")))
    return digest.hexdigest()


def _read_note(note: Path) -> dict | None:
    """A note that is missing or damaged is no note: the file is hashed again and the note rewritten."""
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return known if isinstance(known, dict) and isinstance(known.get("sha256"), str) else None


def open_or_build(
    folder: Path,
    open_folder: Callable[[Path], Opened | None],
    build: Callable[[Path], dict],
    source: Path,
    what: str = "token cache",
    verb: str = "tokenised",
) -> Opened:
    """What `open_folder` makes of the folder, which is built first where that is None: missing, or damaged.

    build: fills the empty folder it is given with all but meta.json, whose content it returns. Where it raises, nothing
    is left behind. Another process that wants the same folder waits.
    source: what it is made of; what, verb: what the folder is, and what is done to the source; all for messages.
    Raises SproutError, and OSError for a disk that cannot be used.
    """
    if any(folder.parent.glob("*.building")):
        from dataset.cache.left import remove_left  # needed after a kill alone

        remove_left(folder.parent)
    if (opened := open_folder(folder)) is not None:
        return opened
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f"{folder.name}.lock")
    with exclusive(lock, lambda: _say(f"waiting: {source} is being {verb} by another process")):
        opened = open_folder(folder)  # built by the process we waited for
        if opened is None:
            if folder.exists():
                _say(f"the {what} {folder} is damaged: {source} is {verb} again")
            _build(folder, build)
            opened = open_folder(folder)
    if opened is None:
        raise SproutError(f"{folder} changed while it was built: is another program at work in {folder.parent}?")
    return opened


def read_meta(folder: Path) -> dict | None:
    """The content of meta.json, or None if it is missing or damaged."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        return meta if meta.pop("checksum") == _checksum(meta) else None
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _checksum(meta: dict) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _build(folder: Path, build: Callable[[Path], dict]) -> None:
    """Write the whole folder beside its place, then move it there. The caller holds the lock."""
    building = folder.with_name(f"{folder.name}.building")
    shutil.rmtree(building, ignore_errors=True)  # a process that was killed has left it
    building.mkdir()
    try:
        meta = build(building)
        with open(building / "meta.json", "w", encoding="utf-8") as file:
            json.dump(meta | {"checksum": _checksum(meta)}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(building)
        shutil.rmtree(folder, ignore_errors=True)  # the damaged one
        os.replace(building, folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)
