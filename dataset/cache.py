"""Tokenise a data file once, into a folder of memory-mapped streams that a second start opens at once.

    out/cache/<key>/train.bin         documents to train on        (`TokenStream`)
                    validation.bin    documents held out
                    bad_lines.jsonl   lines left out, if any
                    meta.json         what is in the streams; written last: with it the cache is whole

The key covers everything the streams depend on, so a cache is never out of date, only absent; the folder may be
deleted at any time. A cache is built under another name and renamed when it has reached the disk. Damage to
meta.json and streams of another size are found on opening, ids outside the vocabulary when they are read.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dataset.content import content_hash, file_stamp
from dataset.locks import exclusive
from dataset.reading import check_file
from dataset.streams import StreamSize, TokenStream
from dataset.tokenising import tokenise
from model.errors import SproutError, UsageError
from model.files import sync_folder

LAYOUT = 2  # to be raised with any change of what is stored, or of which document is held out


@dataclass(frozen=True)
class TokenCache:
    """The tokens of one data file; `summary()` says in a line what was found in it."""

    folder: Path
    source: Path
    format: str
    train: TokenStream
    validation: TokenStream
    vocab_size: int
    bos_id: int
    eos_id: int
    pad_id: int
    tokenizer: str  # its fingerprint
    bad_lines: dict[str, int]  # lines left out, by reason

    @property
    def documents(self) -> int:
        return self.train.size.documents + self.validation.size.documents

    @property
    def tokens(self) -> int:
        """All tokens, BOS and EOS of every document included."""
        return self.train.size.tokens + self.validation.size.tokens

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of the documents' text."""
        return self.train.size.bytes + self.validation.size.bytes

    @property
    def bytes_per_token(self) -> float:
        """Of the text alone: BOS and EOS stand for no bytes."""
        text_tokens = self.train.size.text_tokens + self.validation.size.text_tokens
        return self.bytes / max(text_tokens, 1)

    @property
    def bad_lines_path(self) -> Path | None:
        return self.folder / "bad_lines.jsonl" if self.bad_lines else None

    def summary(self) -> str:
        held_out = self.validation.size
        line = (
            f"{self.source}: format {self.format}, {self.documents:,} documents, {self.bytes:,} bytes, "
            f"{self.tokens:,} tokens ({self.bytes_per_token:.2f} bytes per token), held out "
            f"{held_out.documents:,} documents, {held_out.tokens:,} tokens"
        )
        if self.bad_lines:
            reasons = "; ".join(f"{count:,} {reason}" for reason, count in self.bad_lines.items())
            count = sum(self.bad_lines.values())
            line += f"; left out {count:,} bad lines ({reasons}), see {self.bad_lines_path}"
        return line


def build_or_open(
    source_path: str | Path,
    tokenizer,
    *,
    kind: str = "text",
    val_ratio: float = 0.01,
    on_bad_line: str = "stop",
    cache_dir: str | Path = "out/cache",
    progress: bool = True,
) -> TokenCache:
    """Open the token cache of a data file, building it first if it is not there.

    tokenizer: a `model.tokenizer.Tokenizer`.
    val_ratio: share of the documents that is held out, 0 to 1 (`tokenising.held_out_share` limits it for a run).
        A hash of a document's content decides, so the choice depends on nothing else, and a document and its
        duplicates are on the same side.
    on_bad_line: "stop" raises at the first line that cannot be used; "skip" counts it and writes it to
        `bad_lines.jsonl`.

    Tokenising runs on all cores, in threads of the tokenizers library: they release Python's lock, and on two
    cores were twice as fast as one and more than twice as fast as two processes (RAYON_NUM_THREADS limits
    them). Another process that wants the same cache waits. Ctrl-C and SIGTERM leave nothing behind: they
    raise, as a handler of the caller's own must do while this runs.

    Raises SproutError for a file, line or disk that cannot be used, UsageError for settings that cannot.
    """
    if not 0 <= val_ratio <= 1:
        raise UsageError(f"--val_ratio must be from 0 to 1, not {val_ratio}")
    if on_bad_line not in ("stop", "skip"):
        raise UsageError(f"--on_bad_line must be stop or skip, not {on_bad_line!r}")
    source, cache_dir = Path(source_path), Path(cache_dir)
    file_kind = check_file(source)
    try:
        stamp = file_stamp(source)
        identity = {
            "layout": LAYOUT,
            "content": content_hash(source, cache_dir / "content", progress),
            "file_kind": file_kind,
            "tokenizer": tokenizer.fingerprint,
            "kind": kind,
            "val_ratio": val_ratio,
            "on_bad_line": on_bad_line,
        }
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
        folder = cache_dir / key
        cache = _open(folder, source)
        if cache is not None:
            return cache
        cache_dir.mkdir(parents=True, exist_ok=True)
        with exclusive(cache_dir / f"{key}.lock", lambda: _say(f"waiting: {source} is being tokenised elsewhere")):
            cache = _open(folder, source)  # by the process we waited for
            if cache is None:
                _build(folder, source, tokenizer, identity, stamp, progress)
                cache = _open(folder, source)
    except OSError as error:
        raise SproutError(
            f"{source} cannot be tokenised into {cache_dir}: {error.strerror or error}"
            f"{f' ({error.filename})' if error.filename else ''}; make room or choose another folder"
        ) from error
    if cache is None:
        raise SproutError(f"{folder} changed while it was built: is another program at work in {cache_dir}?")
    return cache


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _open(folder: Path, source: Path) -> TokenCache | None:
    """The cache if it is there and whole, else None."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if meta.pop("checksum") != _checksum(meta):
            return None
        streams = {
            name: TokenStream(folder / f"{name}.bin", meta["dtype"], StreamSize(**meta[name]))
            for name in ("train", "validation")
        }
        cache = TokenCache(
            folder=folder,
            source=source,
            format=meta["format"],
            vocab_size=meta["vocab_size"],
            bos_id=meta["bos_id"],
            eos_id=meta["eos_id"],
            pad_id=meta["pad_id"],
            tokenizer=meta["tokenizer"],
            bad_lines=meta["bad_lines"],
            **streams,
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):  # no cache, or a damaged meta.json
        return None
    return cache if all(stream.is_whole() for stream in streams.values()) else None


def _checksum(meta: dict) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _build(folder: Path, source: Path, tokenizer, identity: dict, stamp: dict, progress: bool) -> None:
    """Write the whole cache beside its place, then move it there. The caller holds the lock."""
    if folder.exists():
        _say(f"the token cache {folder} is damaged: {source} is tokenised again")
    building = folder.with_name(f"{folder.name}.building")
    shutil.rmtree(building, ignore_errors=True)  # of a process that was killed
    building.mkdir()
    try:
        with _sigterm_raises():
            settings = {name: identity[name] for name in ("kind", "val_ratio", "on_bad_line")}
            meta = identity | tokenise(source, tokenizer, building, **settings, progress=progress)
        if file_stamp(source) != stamp:
            raise SproutError(f"{source} changed while it was read: start again when it is complete")
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
