"""Tokenise a data file once, into a folder of memory-mapped streams that a second start opens at once.

    out/cache/<key>/train.bin         documents to train on (`TokenStream`; of chats `ExampleStream`, three files)
                    validation.bin    documents held out
                    bad_lines.jsonl   lines left out, if any
                    meta.json         what is in the streams; written last: with it the cache is whole

The key covers everything the streams depend on, so a cache is never out of date, only absent; the folder may be
deleted at any time. Damage to meta.json and streams of another size are found on opening, anything else by
a checksum, if a file was changed since it was written, and as ids outside the vocabulary when a stream is read.
"""

import hashlib
import json
from pathlib import Path

from dataset.cache.chats import ChatCache
from dataset.cache.content import content_hash, file_stamp
from dataset.cache.folder import open_or_build, read_meta
from dataset.cache.pairs import PairCache
from dataset.cache.scores import ScoreCache
from dataset.cache.texts import TokenCache
from dataset.cache.tokenising import tokenise
from dataset.records.reading import check_file
from model.errors import SproutError, UsageError

LAYOUT = 3  # to be raised with any change of what is stored, or of which document is held out

KINDS = {"text": TokenCache, "chat": ChatCache, "preference": PairCache, "scored": ScoreCache}


def build_or_open(
    source_path: str | Path,
    tokenizer,
    *,
    kind: str = "text",
    val_ratio: float = 0.01,
    on_bad_line: str = "stop",
    cache_dir: str | Path = "out/cache",
    progress: bool = True,
) -> TokenCache | ChatCache:
    """Open the token cache of a data file, building it first if it is not there.

    tokenizer: a `model.text.tokenizer.Tokenizer`.
    kind: what the records are read as, one of `KINDS`, each with its own class of cache.
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
    encoder = KINDS[kind].encoder(tokenizer)
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
            **encoder.version,
        }
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]

        def open_folder(folder: Path) -> TokenCache | ChatCache | None:
            meta = read_meta(folder)
            if meta is not None and any(meta.get(name) != value for name, value in identity.items()):
                meta = None  # of another cache
            cache = None if meta is None else KINDS[kind].from_meta(folder, source, meta)
            return cache if cache is not None and cache.is_whole() else None

        def build(folder: Path) -> dict:
            found = tokenise(source, encoder, folder, val_ratio=val_ratio, on_bad_line=on_bad_line, progress=progress)
            if file_stamp(source) != stamp:
                raise SproutError(f"{source} changed while it was read: start again when it is complete")
            return identity | found

        return open_or_build(cache_dir / key, open_folder, build, source)
    except OSError as error:
        raise SproutError(
            f"{source} cannot be tokenised into {cache_dir}: {error.strerror or error}"
            f"{f' ({error.filename})' if error.filename else ''}; make room or choose another folder"
        ) from error
