"""Texts that a network continued, kept so that /save can write them."""

import json
import os
from pathlib import Path

from model.disk import write_atomically
from model.errors import SproutError


class Texts:
    """The texts since the beginning or the last /clear; for the dialogue what `Chat` is in a conversation."""

    def __init__(self):
        self._texts: list[str] = []

    def add(self, text: str) -> None:
        self._texts.append(text)

    def clear(self) -> None:
        self._texts = []

    def save(self, path: str | Path) -> None:
        """Writes them as records {"text": ...}; raises `SproutError` as `write_records` does."""
        write_records(path, [{"text": text} for text in self._texts])


def write_records(path: str | Path, records: list[dict]) -> None:
    """Writes records as lines of JSON, all or nothing.

    Raises `SproutError` where there are none, for a file that exists, and if it cannot be written.
    """
    if not records:
        raise SproutError("nothing has been said that could be saved: ask something first")
    if os.path.lexists(path):
        raise SproutError(f"{path} exists already, and is left as it is: choose another name")
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    try:
        write_atomically(path, lambda file: file.write(lines.encode("utf-8")))
    except (OSError, ValueError) as error:  # the name is too long, or no name of a file
        reason = getattr(error, "strerror", None) or error
        raise SproutError(f"{path} cannot be written ({reason}): choose another name") from error
