"""Texts in a token cache: a stream of documents' tokens, BOS ids EOS BOS ids EOS ..., two or four bytes a token.

`Cache` is what a cache of any kind of records says of itself once it is open.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from dataset.cache.arrays import SummedFile, check_seal, has_size, map_array, token_dtype
from dataset.records.formats import TEXT, RecordKind


@dataclass(frozen=True)
class Cache:
    """The tokens of one data file; `summary()` says in a line what was found in it. For each kind of records there is
    a class with

        RECORDS                             what its records are
        encoder(tokenizer)                  how they become tokens: see `TextEncoder`
        stream(folder, name, dtype, size)   a stream of these, of which meta.json says `size`
        contents()                          what `summary` says of them
    """

    folder: Path
    source: Path
    format: str
    train: object  # a stream, whose `is_whole()` looks at its files
    validation: object
    vocab_size: int
    bos_id: int
    eos_id: int
    pad_id: int
    tokenizer: str  # its fingerprint
    bad_lines: dict[str, int]  # lines left out, by reason
    copies: float  # share of the documents that are copies of others, roughly
    text_bytes: int  # UTF-8 bytes of the documents' text
    framing: int  # tokens that stand for none of them

    RECORDS: ClassVar[RecordKind]
    FACTS: ClassVar = (  # the fields that meta.json holds under the same names
        *("format", "vocab_size", "bos_id", "eos_id", "pad_id"),
        *("tokenizer", "bad_lines", "copies", "text_bytes", "framing"),
    )

    @classmethod
    def from_meta(cls, folder: Path, source: Path, meta: dict):
        """The cache in a folder whose meta.json says `meta`; nothing but that has been looked at."""
        streams = {name: cls.stream(folder, name, meta["dtype"], meta[name]) for name in ("train", "validation")}
        return cls(folder=folder, source=source, **{name: meta[name] for name in cls.FACTS}, **streams)

    @property
    def tokens(self) -> int:
        """All tokens that are kept, those that frame a document included."""
        return self.train.size.tokens + self.validation.size.tokens

    @property
    def bytes_per_token(self) -> float:
        """UTF-8 bytes of text for each of its tokens; tokens that frame it are not counted."""
        return self.text_bytes / max(self.tokens - self.framing, 1)

    def is_whole(self) -> bool:
        return self.train.is_whole() and self.validation.is_whole()

    def summary(self) -> str:
        line = f"{self.source}: format {self.format}, {self.contents()}"
        if self.bad_lines:
            reasons = "; ".join(f"{count:,} {reason}" for reason, count in self.bad_lines.items())
            count = sum(self.bad_lines.values())
            line += f"; left out {count:,} bad lines ({reasons}), see {self.folder / 'bad_lines.jsonl'}"
        return line


@dataclass(frozen=True)
class StreamSize:
    """What a stream holds: `text_tokens` are all but BOS and EOS, `bytes` the UTF-8 bytes of the text."""

    documents: int = 0
    tokens: int = 0
    text_tokens: int = 0
    bytes: int = 0
    # The seal of the file, once it is finished; None in caches of earlier versions.
    seal: tuple[int, int] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class TokenStream:
    """A finished stream: where it is and what it holds."""

    path: Path
    dtype: str
    size: StreamSize
    _checked: list = field(default_factory=list, repr=False, compare=False)  # not empty once the seal was looked at

    def map(self) -> np.ndarray:
        """The stream as a read-only memory-mapped array [tokens].

        Release the array soon and map again when needed (some 20 microseconds): pages that were touched
        count as memory of the process for as long as the mapping lives, so one that lives as long as the run
        would grow to the size of the corpus.

        Before the first map in a process its seal is looked at. Raises SproutError for a damaged file.
        """
        if not self._checked:
            check_seal(self.path, self.size.seal)
            self._checked.append(True)
        return map_array(self.path, self.dtype, self.size.tokens)

    def is_whole(self) -> bool:
        """Whether the file is there with the size it should have."""
        return has_size(self.path, self.dtype, self.size.tokens)


class StreamWriter:
    """Writes a stream document by document.

    Where BOS and EOS are the same token (as in GPT-2), a single one stands between two documents.
    """

    def __init__(self, path: Path, dtype: str, bos_id: int, eos_id: int):
        self._file, self._dtype = SummedFile(path), np.dtype(dtype)
        self._bos, self._eos = bos_id, eos_id
        self.size = StreamSize()

    def __enter__(self) -> "StreamWriter":
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()

    def add(self, ids: list[int], text_bytes: int) -> None:
        """Append one document, given as its ids without BOS and EOS."""
        first = self.size.tokens == 0
        document = [self._bos, *ids, self._eos] if first or self._bos != self._eos else [*ids, self._eos]
        self._file.write(np.array(document, self._dtype).tobytes())
        size = self.size
        self.size = StreamSize(
            size.documents + 1, size.tokens + len(document), size.text_tokens + len(ids), size.bytes + text_bytes
        )

    def finish(self) -> StreamSize:
        """Bring everything to the disk and close; returns what was written."""
        return replace(self.size, seal=self._file.finish())


@dataclass(frozen=True)
class TextCache(Cache):
    """The documents of a text file, one after the other, each between BOS and EOS."""

    train: TokenStream
    validation: TokenStream

    RECORDS: ClassVar = TEXT

    @staticmethod
    def stream(folder: Path, name: str, dtype: str, size: dict) -> TokenStream:
        return TokenStream(folder / f"{name}.bin", dtype, StreamSize(**size))

    @staticmethod
    def encoder(tokenizer) -> "TextEncoder":
        return TextEncoder(tokenizer)

    @property
    def documents(self) -> int:
        return self.train.size.documents + self.validation.size.documents

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of the documents' text."""
        return self.train.size.bytes + self.validation.size.bytes

    def contents(self) -> str:
        held_out = self.validation.size
        return (
            f"{self.documents:,} documents, {self.bytes:,} bytes, "
            f"{self.tokens:,} tokens ({self.bytes_per_token:.2f} bytes per token), held out "
            f"{held_out.documents:,} documents, {held_out.tokens:,} tokens"
        )


class TextEncoder:
    """From texts to what a `StreamWriter` takes. Every kind of records has such an encoder, with the same methods."""

    kind = TEXT
    prepare = staticmethod(str)  # what becomes of a document where its record is read: it stays as it is
    documents = staticmethod(iter)  # the documents that the texts of the records are
    characters = staticmethod(len)  # about how many characters of a document there are to encode

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def version(self) -> dict:
        """What decides the tokens besides the tokenizer."""
        return {}

    def contents(self, text: str) -> list[bytes]:
        """The same bytes for the same document; the last of them decide whether it is held out."""
        return [text.encode("utf-8")]

    def text_bytes(self, text: str) -> int:
        return len(text.encode("utf-8"))

    def framing(self, text: str) -> int:
        """How many tokens stand for none of these bytes."""
        return 2 if self.tokenizer.bos_id != self.tokenizer.eos_id else 1

    def encode(self, texts: Sequence[str]) -> list[tuple[list[int], int]]:
        """What `add` of the writer takes for each document, on all cores: here its ids, and its UTF-8 bytes."""
        ids = self.tokenizer.encode_batch(texts)
        if self.tokenizer.unknown_id is not None:
            from dataset.cache.unknown import known_bytes  # most tokenizers can spell every text

            return list(zip(ids, known_bytes(self.tokenizer, texts, ids), strict=True))
        return [(one, len(text.encode("utf-8"))) for one, text in zip(ids, texts, strict=True)]

    def writer(self, folder: Path, name: str) -> StreamWriter:
        dtype = token_dtype(self.tokenizer.vocab_size)
        return StreamWriter(folder / f"{name}.bin", dtype, self.tokenizer.bos_id, self.tokenizer.eos_id)
