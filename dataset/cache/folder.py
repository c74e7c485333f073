"""A folder that is built once and then only read: whole or absent, by one process at a time.

It is built under another name and renamed when it has reached the disk. Its meta.json, which says what is in it,
is written last and carries a checksum of itself.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from model.errors import SproutError
from model.files.disk import sync_folder
from model.files.locks import exclusive

Opened = TypeVar("Opened")


def open_or_build(
    folder: Path,
    open_folder: Callable[[Path], Opened | None],
    build: Callable[[Path], dict],
    source: Path,
    what: str = "token cache",
    verb: str = "tokenised",
) -> Opened:
    """What `open_folder` makes of the folder (None: it is not there, or damaged), built first if need be.

    build: fills the empty folder it is given with all but meta.json, whose content it returns. While it runs,
    SIGTERM raises as Ctrl-C does, and nothing is left behind. Another process that wants the same folder waits.
    source: of what it is made; what, verb: what the folder is, and what was done to the source; all for messages.
    Raises SproutError, and OSError for a disk that cannot be used.
    """
    opened = open_folder(folder)
    if opened is not None:
        return opened
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f"{folder.name}.lock")
    with exclusive(lock, lambda: _say(f"waiting: {source} is being {verb} elsewhere")):
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
    shutil.rmtree(building, ignore_errors=True)  # of a process that was killed
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
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(number, frame):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
