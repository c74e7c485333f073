"""One pass over a data file: documents to token streams, one to train on and one held out."""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from dataset.cache.copies import Copies
from dataset.cache.streams import token_dtype
from dataset.records.bad_lines import BadLines
from dataset.records.documents import FormatReader, read_documents
from dataset.records.formats import Format
from dataset.records.reading import BadLine
from model.errors import SproutError
from model.text.batches import text_batches

# Held-out documents are scored again and again during a run: 2 MB are some 600 thousand tokens, enough for
# three digits of the loss and a minute or two on a laptop.
MAX_VALIDATION_BYTES = 2_000_000

# Bytes of text that a byte of a compressed file may stand for: gzip makes text 2 to 4 times smaller.
COMPRESSION = 4

# With fewer documents than this, none is held out unless the hash happens to pick one.
MIN_DOCUMENTS_TO_HOLD_OUT = 10


class Encoder(Protocol):
    """What is particular to one kind of data: how a document, as its format reads it, gets into a stream."""

    tokenizer: object  # a `model.text.tokenizer.Tokenizer`
    kind: str  # of `formats.FORMATS`
    version: dict  # what decides the tokens of a document besides the tokenizer

    def content(self, document) -> bytes:
        """What decides whether the document is held out: the same bytes for the same document."""

    def characters(self, document) -> int:
        """About how many characters there are to encode."""

    def text_bytes(self, document) -> int:
        """UTF-8 bytes of its text."""

    def framing(self, document) -> int:
        """Tokens that stand for none of these bytes."""

    def encode(self, documents: Sequence) -> list[tuple]:
        """What `add` of a writer takes, for each document; work for all cores."""

    def writer(self, folder: Path, name: str):
        """Writes a stream: `with`, `size.documents`, `add(*encoded)`, `finish()`."""


def tokenise(
    source: Path, encoder: Encoder, folder: Path, *, val_ratio: float, on_bad_line: str, progress: bool
) -> dict:
    """Write the streams `train` and `validation` (and `bad_lines.jsonl`, if any) and return what is in them.

    See `cache.build_or_open` for the arguments. Raises SproutError for a bad line that is not to be skipped and
    for a file without documents.
    """
    tokenizer = encoder.tokenizer
    documents = Documents(source, encoder.kind, on_bad_line, folder / "bad_lines.jsonl", progress)
    copies, text_bytes, framing = Copies(), 0, 0
    last = None  # of the documents to train on: kept back, as it may have to be held out
    with encoder.writer(folder, "train") as train, encoder.writer(folder, "validation") as validation, documents:
        for batch, encoded in _encoded(text_batches(documents, encoder.characters), encoder.encode):
            for document, parts in zip(batch, encoded, strict=True):
                number = content_number(encoder.content(document))
                copies.add(number)
                text_bytes += encoder.text_bytes(document)
                framing += encoder.framing(document)
                if is_held_out(number, val_ratio):
                    validation.add(*parts)
                    continue
                if last is not None:
                    train.add(*last)
                last = parts
        if last is not None:
            none_held_out = 0 < val_ratio < 1 and validation.size.documents == 0
            needs_one = none_held_out and train.size.documents + 1 >= MIN_DOCUMENTS_TO_HOLD_OUT
            (validation if needs_one else train).add(*last)  # its copies, should there be any, stay behind
        elif validation.size.documents == 0:
            raise SproutError(documents.why_empty())
        streams = {"train": train.finish(), "validation": validation.finish()}
    if val_ratio < 1 and streams["train"].size.documents == 0:
        # The hash picked every document of a file of a few, or of copies of a few: training comes first.
        return tokenise(source, encoder, folder, val_ratio=0, on_bad_line=on_bad_line, progress=progress)
    return {
        "source": str(source),
        "format": documents.format.name,
        "dtype": token_dtype(tokenizer.vocab_size),
        "vocab_size": tokenizer.vocab_size,
        "bos_id": tokenizer.bos_id,
        "eos_id": tokenizer.eos_id,
        "pad_id": tokenizer.pad_id,
        **{name: asdict(stream.size) for name, stream in streams.items()},
        "bad_lines": dict(documents.bad_lines.counts),
        "copies": copies.share,
        "text_bytes": text_bytes,
        "framing": framing,
    }


def held_out_share(paths: Sequence[Path], val_ratio: float) -> float:
    """`val_ratio`, or less where that would hold out more than about `MAX_VALIDATION_BYTES` of all files together.

    One share for all files: copies of a document are then on one side, in whichever files they are. What is less
    than asked for is a power of two, so that files may grow a little and the share, with the caches built for it,
    stays as it is.
    """
    sizes = (path.stat().st_size * (COMPRESSION if path.suffix.lower() in (".gz", ".parquet") else 1) for path in paths)
    limit = MAX_VALIDATION_BYTES / sum(sizes)
    return val_ratio if val_ratio <= limit else 2.0 ** math.floor(math.log2(limit))


def content_number(content: bytes) -> int:
    """A hash of a document's content, from 0 to 2^64 - 1."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8, person=b"held out").digest(), "little")


def is_held_out(number: int, share: float) -> bool:
    """Whether the document with this `content_number` belongs to the validation set: a matter of content alone."""
    return number < share * 2**64


def _encoded(batches: Iterable[list], encode: Callable[[list], list]) -> Iterator[tuple[list, list]]:
    """Yield every batch with its ids, while the next one is encoded: all cores work as the caller writes."""
    with ThreadPoolExecutor(max_workers=1) as encoder:
        before = None
        for batch in batches:
            following = batch, encoder.submit(encode, batch)
            if before is not None:
                yield before[0], before[1].result()
            before = following
        if before is not None:
            yield before[0], before[1].result()


class Documents:
    """The documents of a file in order, with a progress bar; bad lines stop it or are set aside."""

    def __init__(self, source: Path, kind: str, on_bad_line: str, bad_lines_path: Path, progress: bool):
        self.source, self._read = source, FormatReader(kind)
        self.bad_lines = BadLines(on_bad_line, bad_lines_path)
        self._bar = tqdm(
            total=source.stat().st_size,
            unit="B",
            unit_scale=True,
            desc=f"tokenising {source.name}",
            disable=None if progress else True,  # None: off where nobody watches
        )

    @property
    def format(self) -> Format | None:
        return self._read.format

    def __enter__(self) -> "Documents":
        return self

    def __exit__(self, *exception) -> None:
        self._bar.close()
        self.bad_lines.close()

    def __iter__(self) -> Iterator[str]:
        def show(position: int) -> None:
            self._bar.update(position - self._bar.n)

        for item in read_documents(self.source, self._read, show):
            if isinstance(item, BadLine):
                self.bad_lines.add(item)
            else:
                yield item.content
        show(self._bar.total)

    def why_empty(self) -> str:
        if self.bad_lines.first is None:
            return f"{self.source} holds no document"
        count = self.bad_lines.counts.total()
        return f"{self.source} holds no usable document, {count:,} bad lines: the first is {self.bad_lines.first}"
