"""Data files, folders made of them, and the arrays in these: each is whole, or known to be damaged.

A data file is known by the hash of its content, which is remembered. A folder is built once and then only read, whole
or absent, by one process at a time: it is built under another name and renamed when it has reached the disk; its
meta.json, which says what is in it, is written last and carries a checksum of itself. An array has a seal.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import numpy as np

from dataset.records.reading import bar_over, files_of
from model.disk import exclusive, sweep_temporaries, sync_folder, write_atomically
from model.errors import SproutError

Opened = TypeVar("Opened")

# File systems stamp a change with a clock that ticks in up to 2 seconds (FAT). A file changed this recently
# could change once more under the same stamp, so its hash is not remembered ("racily clean" in git's words).
_CLOCK_TICK_NS = 3 * 10**9


def file_stamp(path: str | Path) -> dict[str, int | list]:
    """What changes, in practice, whenever the content of the file, or of any file of the folder, does."""
    files = [[file.name, (stat := os.stat(file)).st_size, stat.st_mtime_ns, stat.st_ino] for file in files_of(path)]
    _, sizes, changed, inodes = zip(*files)
    stamp = {"size": sum(sizes), "mtime_ns": max(changed), "inode": inodes[0]}
    return stamp | ({"files": files} if len(files) > 1 else {})


def content_hash(path: str | Path, notes: Path, progress: bool = True) -> str:
    """SHA-256 of the file, as hex digits; a note in the folder `notes` remembers it.

    The note is believed while the stamp is that of what was hashed. Writing, replacing or restoring a file changes it;
    whoever sets the clock of a file back after editing it in place, keeping its size, has to delete the cache.
    """
    name = hashlib.sha256(os.path.realpath(path).encode("utf-8", "surrogateescape")).hexdigest()[:24]
    note, stamp = notes / f"{name}.json", file_stamp(path)
    if (known := _read_note(note)) is not None and known.get("stamp") == stamp:
        return known["sha256"]

    begun, digest = time.time_ns(), hashlib.sha256()
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


# --- a folder ---------------------------------------------------------------------------------------


def open_or_build(
    folder: Path,
    open_folder: Callable[[Path], Opened | None],
    build: Callable[[Path], dict],
    source: Path,
    what: str = "token cache",
    verb: str = "tokenised",
) -> Opened:
    """What `open_folder` makes of the folder, which is built first where that is None: missing, or damaged.

    build: fills the empty folder it is given with all but meta.json, whose content it returns. While it runs,
    SIGTERM raises as Ctrl-C does, and nothing is left behind. Another process that wants the same folder waits.
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
        with _sigterm_raises():
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


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Let SIGTERM unwind the stack, as Ctrl-C does, unless the program deals with it itself."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def leave(number, frame):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


# --- arrays in it -----------------------------------------------------------------------------------


def token_dtype(vocab_size: int) -> str:
    """The smallest unsigned type that holds every id, little-endian on any machine."""
    return "<u2" if vocab_size <= 2**16 else "<u4"


def map_array(path: Path, dtype: str, length: int) -> np.ndarray:
    """A file of `length` numbers as a read-only memory-mapped array. Raises SproutError where it has changed."""
    if length == 0:  # an empty file cannot be mapped
        return np.empty(0, dtype)
    try:
        # A plain array over the map: slices of numpy's own subclass cost several times as much.
        return np.asarray(np.memmap(path, dtype, mode="r", shape=(length,)))
    except (OSError, ValueError) as error:
        raise SproutError(f"{path} cannot be read any more ({error}): the next start builds it anew") from error


def has_size(path: Path, dtype: str, length: int) -> bool:
    """Whether the file is there with the size of `length` numbers."""
    return path.is_file() and path.stat().st_size == length * np.dtype(dtype).itemsize


class SummedFile:
    """A file being written, with the CRC-32 of what was.

    Its seal is (CRC-32, time of the last change in ns): as long as nobody changed the file since, it need not be read
    to know that it is whole, and a start takes as long with a large file as with a small one.
    """

    def __init__(self, path: Path):
        self._file, self.crc32 = open(path, "wb"), 0

    def write(self, content: bytes) -> None:
        self._file.write(content)
        self.crc32 = zlib.crc32(content, self.crc32)

    def finish(self) -> tuple[int, int]:
        """Bring everything to the disk and close; returns the seal."""
        self._file.flush()
        os.fsync(self._file.fileno())
        changed = os.fstat(self._file.fileno()).st_mtime_ns
        self._file.close()
        return self.crc32, changed

    def close(self) -> None:
        with suppress(OSError):  # of a full disk; what is not finished is thrown away
            self._file.close()


def check_seal(path: Path, seal: tuple[int, int] | None) -> None:
    """Raises SproutError if the file was changed since it was sealed, and has another CRC-32.

    A file that was only copied is read through at each start, half a second or so a GB. None: it has no seal.
    """
    if seal is None:
        return
    (crc32, changed), found = seal, 0
    try:
        if path.stat().st_mtime_ns == changed:
            return
        with open(path, "rb", buffering=0) as file:
            while block := file.read(2**20):
                found = zlib.crc32(block, found)
    except OSError as error:
        raise SproutError(f"{path} cannot be read any more ({error}): the next start builds it anew") from error
    if found != crc32:
        raise SproutError(f"{path.parent} is damaged: {path.name} has another checksum; delete this folder")
