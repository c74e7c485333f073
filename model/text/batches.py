"""Texts in batches: work for all cores at a time, and nothing to the memory."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Text = TypeVar("Text")

# While a batch is encoded, a token costs some hundred bytes.
MAX_CHARACTERS = 2**20
MAX_TEXTS = 4096


def text_batches(texts: Iterable[Text], characters: Callable[[Text], int] = len) -> Iterator[list[Text]]:
    """All texts in order, in lists of about `MAX_CHARACTERS` characters or of `MAX_TEXTS` texts."""
    batch: list[Text] = []
    total = 0
    for text in texts:
        batch.append(text)
        total += characters(text)
        if total >= MAX_CHARACTERS or len(batch) >= MAX_TEXTS:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch
