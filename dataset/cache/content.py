"""The hash of a file's content, remembered, so that a second start does not read the file again."""

import hashlib
import json
import os
import time
from pathlib import Path

from tqdm import tqdm

from model.files.disk import write_atomically

# File systems stamp a change with a clock that ticks in up to 2 seconds (FAT). A file changed this recently
# could change once more under the same stamp, so its hash is not remembered ("racily clean" in git's words).
_CLOCK_TICK_NS = 3 * 10**9


def file_stamp(path: str | Path) -> dict[str, int]:
    """What changes, in practice, whenever the content of the file does."""
    stat = os.stat(path)
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "inode": stat.st_ino}


def content_hash(path: str | Path, memory: Path, progress: bool = True) -> str:
    """SHA-256 of the file, as hex digits; one small file per data file in the folder `memory` remembers it.

    The memory is believed while size, modification time (in nanoseconds) and inode are those of the file that
    was hashed. Writing, replacing or restoring a file changes at least one of them; whoever sets the clock of
    a file back by hand after editing it in place, keeping its size, has to delete the cache.
    """
    name = hashlib.sha256(os.path.realpath(path).encode("utf-8", "surrogateescape")).hexdigest()[:24]
    note = memory / f"{name}.json"
    stamp = file_stamp(path)
    known = _read_note(note)
    if known is not None and known.get("stamp") == stamp:
        return known["sha256"]

    begun = time.time_ns()
    digest = hashlib.sha256()
    bar = tqdm(
        total=stamp["size"],
        unit="B",
        unit_scale=True,
        desc=f"looking at {Path(path).name}",
        delay=1,
        leave=False,
        disable=None if progress else True,
    )
    with open(path, "rb", buffering=0) as file, bar:
        while block := file.read(2**20):
            digest.update(block)
            bar.update(len(block))
    if begun - stamp["mtime_ns"] > _CLOCK_TICK_NS and file_stamp(path) == stamp:
        note_text = json.dumps({"path": os.path.realpath(path), "stamp": stamp, "sha256": digest.hexdigest()})
        write_atomically(note, lambda file: file.write(note_text.encode("utf-8", "backslashreplace")))
    return digest.hexdigest()


def _read_note(note: Path) -> dict | None:
    """A note that is missing or damaged is no note: the file is hashed again and the note rewritten."""
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return known if isinstance(known, dict) and isinstance(known.get("sha256"), str) else None
