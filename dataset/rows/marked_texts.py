"""Plain texts in which the markers of a chat template are spelled out, as in MiniMind's file for pretraining.

Control tokens in a text are text to Sprout, spelled by several ordinary tokens each. `warning_about_markers` says so;
`--markers split` takes such a file as it was meant: a document ends where a marker stands.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from dataset.cache.texts import TextCache, TextEncoder
from dataset.records.controls import MARKERS
from dataset.records.formats import Record
from dataset.records.reading import bytes_of, read_records
from dataset.rows.rows import Kind

LOOKED_AT = 2000  # records at the beginning of a file
WORTH_A_WARNING = 0.001  # share of the tokens


def warning_about_markers(path: Path, tokenizer) -> str | None:
    """A warning that says which share of the tokens, in the first records, spells markers; None where it is small."""
    if not MARKERS.search(next(bytes_of(path), b"").decode("utf-8", "replace")):
        return None  # as in most files; the first records may be whole books
    records = (item for item in islice(read_records(path), LOOKED_AT) if isinstance(item, Record))
    texts = [text for item in records if isinstance(text := item.fields.get("text"), str)]
    found = [marker for text in texts for marker in MARKERS.findall(text)]
    if not found:
        return None
    lengths = {marker: len(tokenizer.encode(marker)) for marker in set(found)}
    share = sum(map(lengths.get, found)) / sum(map(len, tokenizer.encode_batch(texts)))
    if share < WORTH_A_WARNING:
        return None
    names = ", ".join(sorted(lengths))
    return (
        f"{share:.0%} of the tokens of {path} spell the markers of a template ({names}), which are text here and would"
        " be learned as such; --markers split ends a document at each instead"
    )


class SplitTextEncoder(TextEncoder):
    """A `TextEncoder` for which a document ends at each marker."""

    def version(self) -> dict:
        return {"markers": "split"}

    def documents(self, texts: Iterable[str]) -> Iterator[str]:
        for text in texts:
            yield from filter(None, map(str.strip, MARKERS.split(text)))


class SplitTextCache(TextCache):
    @staticmethod
    def encoder(tokenizer) -> SplitTextEncoder:
        return SplitTextEncoder(tokenizer)


def split_at_markers(kind: Kind) -> Kind:
    """The kind of data for --markers split."""
    return replace(kind, cache=SplitTextCache)
