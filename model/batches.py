"""Texts in batches: work for all cores at a time, and nothing to the memory."""

from collections.abc import Iterable, Iterator

# While a batch is encoded, a token costs some hundred bytes.
MAX_CHARACTERS = 2**20
MAX_TEXTS = 4096


def text_batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """All texts in order, in lists of about `MAX_CHARACTERS` characters or of `MAX_TEXTS` texts."""
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if characters >= MAX_CHARACTERS or len(batch) >= MAX_TEXTS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
