"""Tokenise a data file once, into a folder of memory-mapped streams that a second start opens at once.

    out/cache/<key>/train.bin         documents to train on (for conversations three or four files: `cache.examples`)
                    validation.bin    documents held out
                    bad_lines.jsonl   lines left out, if any
                    meta.json         what is in the streams; written last: with it the cache is whole

The key covers everything the streams depend on, so a cache is never out of date, only absent; the folder may be
deleted at any time. Damage to meta.json and streams of another size are found on opening, anything else by
a checksum, if a file was changed since it was written, and as ids outside the vocabulary when a stream is read.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import chain, pairwise
from pathlib import Path

from dataset.cache.arrays import token_dtype
from dataset.cache.folder import content_hash, file_stamp, open_or_build, read_meta
from dataset.cache.texts import Cache
from dataset.records.documents import Documents, FormatReader
from dataset.records.reading import check_file
from model.errors import SproutError, UsageError
from model.text.tokenizer import text_batches

LAYOUT = 3  # to be raised with any change of what is stored, or of which document is held out

# Held-out documents are scored again and again during a run: 2 MB are some 600 thousand tokens, enough for
# three digits of the loss and a minute or two on a laptop.
MAX_VALIDATION_BYTES = 2_000_000

# Bytes of text that a byte of a compressed file may stand for: gzip makes text 2 to 4 times smaller.
COMPRESSION, PACKED = 4, (".gz", ".bz2", ".xz", ".zst", ".parquet")

MIN_DOCUMENTS_TO_HOLD_OUT = 10  # with fewer, none is held out unless the hash happens to pick one
MOST_KEPT_BACK = 64  # answers to the last prompt, which wait until it is known whether it has to be held out

# Hashes of documents that are kept to find copies: some 15 MB.
MAX_HASHES = 2**17


def build_or_open(
    source_path: str | Path,
    tokenizer,
    cache_type: type[Cache],
    *,
    val_ratio: float = 0.01,
    on_bad_line: str = "stop",
    cache_dir: str | Path = "out/cache",
    progress: bool | None = True,
) -> Cache:
    """Open the token cache of a data file, building it first if it is not there.

    tokenizer: a `model.text.tokenizer.Tokenizer`. cache_type: what the records are read as, and how they are stored.
    val_ratio: share of the documents that is held out, 0 to 1 (`held_out_share` limits it for a run). A hash of a
        document's content decides, so its duplicates are on the same side; of judged answers one of their prompt.
    on_bad_line: "stop" raises at the first line that cannot be used; "skip" keeps it in `bad_lines.jsonl`.

    Tokenising runs on all cores, in threads of the tokenizers library, faster than processes (RAYON_NUM_THREADS limits
    them). Another process that wants the same cache waits, so whoever builds it shows a bar, also for progress=None.
    An exception leaves nothing behind, so neither does Ctrl-C, nor a signal whose handler raises, as those of a run do.

    Raises SproutError for a file, line or disk that cannot be used, UsageError for settings that cannot.
    """
    if not 0 <= val_ratio <= 1:
        raise UsageError(f"--val_ratio must be from 0 to 1, not {val_ratio}")
    if on_bad_line not in ("stop", "skip"):
        raise UsageError(f"--on_bad_line must be stop or skip, not {on_bad_line!r}")
    source, cache_dir = Path(source_path), Path(cache_dir)
    encoder = cache_type.encoder(tokenizer)
    file_type = check_file(source)
    try:
        stamp = file_stamp(source)
        identity = {
            "layout": LAYOUT,
            "content": content_hash(source, cache_dir / "content", bool(progress)),
            "file_kind": file_type,
            "tokenizer": tokenizer.fingerprint,
            "kind": encoder.kind.name,
            "val_ratio": val_ratio,
            "on_bad_line": on_bad_line,
            **encoder.version(),
        }
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]

        def build(folder: Path) -> dict:
            found = tokenise(source, encoder, folder, val_ratio=val_ratio, on_bad_line=on_bad_line, progress=progress)
            if file_stamp(source) != stamp:
                raise SproutError(f"{source} changed while it was read: start again when it is complete")
            return identity | found | getattr(encoder, "more_facts", {})

        return open_or_build(cache_dir / key, lambda path: _opened(path, source, cache_type, identity), build, source)
    except OSError as error:
        from dataset.failures import cannot_tokenise  # good files and disks do not load it

        raise cannot_tokenise(source, cache_dir, error) from error


def _opened(folder: Path, source: Path, cache_type: type[Cache], identity: dict) -> Cache | None:
    """The cache in a folder; None where that is missing or damaged, or of another cache that has the same key."""
    meta = read_meta(folder)
    if meta is None or any(meta.get(name) != value for name, value in identity.items()):
        return None
    cache = cache_type.from_meta(folder, source, meta)
    return cache if cache.is_whole() else None


def tokenise(source: Path, encoder, folder: Path, *, val_ratio: float, on_bad_line: str, progress: bool | None) -> dict:
    """One pass over the file: writes `train`, `validation` (and `bad_lines.jsonl`, if any); returns what is in them.

    encoder: as `texts.TextEncoder`. See `build_or_open` for the other arguments. Raises SproutError for a bad line that
    is not to be skipped and for a file without documents.
    """
    tokenizer = encoder.tokenizer
    read = FormatReader(encoder.kind, encoder.prepare)
    documents = Documents(source, read, on_bad_line, folder / "bad_lines.jsonl", progress is not False)
    copies = Copies()
    text_bytes = framing = 0
    last, before = [], None  # the last documents to train on, one or those of one prompt: they may have to be held out
    with encoder.writer(folder, "train") as train, encoder.writer(folder, "validation") as validation, documents:
        for batch, encoded in _encoded(text_batches(encoder.documents(documents), encoder.characters), encoder.encode):
            for document, parts in zip(batch, encoded, strict=True):
                numbers = [content_number(content) for content in encoder.contents(document)]
                copies.add(numbers[0])
                text_bytes += encoder.text_bytes(document)
                framing += encoder.framing(document)
                if is_held_out(numbers[-1], val_ratio):
                    validation.add(*parts)
                    continue
                same_prompt = len(numbers) > 1 and numbers[-1] == before
                while last and (not same_prompt or len(last) == MOST_KEPT_BACK):
                    train.add(*last.pop(0))
                last.append(parts)
                before = numbers[-1]
        none_held_out = 0 < val_ratio < 1 and validation.size.documents == 0
        needs_one = none_held_out and train.size.documents + len(last) >= MIN_DOCUMENTS_TO_HOLD_OUT
        for parts in last:
            (validation if needs_one else train).add(*parts)  # copies that stood elsewhere stay in the other stream
        if not last and validation.size.documents == 0:
            bad = documents.bad_lines
            raise SproutError(f"{source} holds no usable document, {bad}" if bad else f"{source} holds no document")
        sizes = {"train": train.finish(), "validation": validation.finish()}
    if val_ratio < 1 and sizes["train"].documents == 0:
        # The hash picked every document, as can happen where few of them differ: training comes first.
        return tokenise(source, encoder, folder, val_ratio=0, on_bad_line=on_bad_line, progress=progress)
    return {
        "source": str(source),
        "format": read.format.name,
        "dtype": token_dtype(tokenizer.vocab_size),
        "vocab_size": tokenizer.vocab_size,
        "bos_id": tokenizer.bos_id,
        "eos_id": tokenizer.eos_id,
        "pad_id": tokenizer.pad_id,
        **{name: asdict(size) for name, size in sizes.items()},
        "bad_lines": dict(documents.bad_lines.counts) if documents.bad_lines else {},
        "copies": copies.share,
        "text_bytes": text_bytes,
        "framing": framing,
    }


def _encoded(batches: Iterable[list], encode: Callable[[list], list]) -> Iterator[tuple[list, list]]:
    """Yield every batch with its tokens, while the next one is encoded: all cores work while the caller writes."""
    with ThreadPoolExecutor(max_workers=1) as encoder:
        under_way = ((batch, encoder.submit(encode, batch)) for batch in batches)
        for (batch, encoded), _the_next in pairwise(chain(under_way, [None])):
            yield batch, encoded.result()


def held_out_share(paths: Sequence[Path], val_ratio: float) -> float:
    """`val_ratio`, or less where that would hold out more than about `MAX_VALIDATION_BYTES` of all files together.

    One share for all files: copies of a document are then on one side, in whichever files they are. A smaller
    share is rounded down to a power of two, so that files may grow a little and the share, with the caches built for
    it, stays as it is.
    """
    sizes = (file_stamp(path)["size"] * (COMPRESSION if path.suffix.lower() in PACKED else 1) for path in paths)
    limit = MAX_VALIDATION_BYTES / sum(sizes)
    return val_ratio if val_ratio <= limit else 2.0 ** math.floor(math.log2(limit))


def content_number(content: bytes) -> int:
    """A hash of a document's content, from 0 to 2^64 - 1."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8, person=b"held out").digest(), "little")


def is_held_out(number: int, share: float) -> bool:
    """Whether the document with this `content_number` belongs to the validation set: a matter of content alone."""
    return number < share * 2**64


class Copies:
    """How many documents are copies of others, in memory that does not grow with the file.

    Counts how often each content occurs, by its hash, in a sample of all contents: those whose hash lies below a bound,
    which is halved whenever there are too many. The copies of a document share its hash, so all of them are in the
    sample or none.
    """

    def __init__(self, most: int = MAX_HASHES):
        self._most, self._bound = most, 2**64
        self._counts: dict[int, int] = {}

    def add(self, number: int) -> None:
        """number: the `content_number` of a document."""
        if number >= self._bound:
            return
        self._counts[number] = self._counts.get(number, 0) + 1
        while len(self._counts) > self._most:
            self._bound //= 2
            self._counts = {number: count for number, count in self._counts.items() if number < self._bound}

    @property
    def share(self) -> float:
        """About what share of all documents are copies of an earlier one."""
        documents = sum(self._counts.values())
        return 1 - len(self._counts) / documents if documents else 0.0
