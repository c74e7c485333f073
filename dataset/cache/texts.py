"""What a token cache holds once it is open, and how texts come into one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dataset.cache.streams import StreamSize, StreamWriter, TokenStream, token_dtype


@dataclass(frozen=True)
class Cache:
    """The tokens of one data file, of whatever kind; `summary()` says in a line what was found in it."""

    folder: Path
    source: Path
    format: str
    train: object  # a stream, on which `is_whole()` looks at its files
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

    FACTS: ClassVar = (
        *("format", "vocab_size", "bos_id", "eos_id", "pad_id"),
        *("tokenizer", "bad_lines", "copies", "text_bytes", "framing"),
    )

    @classmethod
    def from_meta(cls, folder: Path, source: Path, meta: dict):
        """The cache in a folder whose meta.json says `meta`; nothing but that has been looked at."""
        streams = {name: cls.stream(folder, name, meta["dtype"], meta[name]) for name in ("train", "validation")}
        return cls(folder=folder, source=source, **{name: meta[name] for name in cls.FACTS}, **streams)

    @property
    def bad_lines_path(self) -> Path | None:
        return self.folder / "bad_lines.jsonl" if self.bad_lines else None

    @property
    def bytes_per_token(self) -> float:
        """Of the text alone: tokens that frame it stand for no bytes."""
        return self.text_bytes / max(self.tokens - self.framing, 1)

    def is_whole(self) -> bool:
        return self.train.is_whole() and self.validation.is_whole()

    def summary(self) -> str:
        line = f"{self.source}: format {self.format}, {self.contents()}"
        if self.bad_lines:
            reasons = "; ".join(f"{count:,} {reason}" for reason, count in self.bad_lines.items())
            count = sum(self.bad_lines.values())
            line += f"; left out {count:,} bad lines ({reasons}), see {self.bad_lines_path}"
        return line


@dataclass(frozen=True)
class TokenCache(Cache):
    """The documents of a text file, one after the other."""

    train: TokenStream
    validation: TokenStream

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
    def tokens(self) -> int:
        """All tokens, BOS and EOS of every document included."""
        return self.train.size.tokens + self.validation.size.tokens

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
    """Texts to what a `StreamWriter` takes."""

    kind = "text"
    characters = staticmethod(len)

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.version = {}  # the tokenizer decides all

    def content(self, text: str) -> bytes:
        return text.encode("utf-8")

    def text_bytes(self, text: str) -> int:
        return len(text.encode("utf-8"))

    def framing(self, text: str) -> int:
        return 2 if self.tokenizer.bos_id != self.tokenizer.eos_id else 1

    def encode(self, texts: Sequence[str]) -> list[tuple[list[int], int]]:
        """The ids of each text, and its UTF-8 bytes."""
        ids = self.tokenizer.encode_batch(texts)
        return [(one, len(text.encode("utf-8"))) for one, text in zip(ids, texts, strict=True)]

    def writer(self, folder: Path, name: str) -> StreamWriter:
        dtype = token_dtype(self.tokenizer.vocab_size)
        return StreamWriter(folder / f"{name}.bin", dtype, self.tokenizer.bos_id, self.tokenizer.eos_id)
