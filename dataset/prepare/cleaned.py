"""The first pass over a chunk: its documents are cleaned, and the lines of texts are counted.

What is written for a chunk: `cleaned/N.jsonl`, a line for each document, and `lines/N.npy`, the hashes of lines.
"""

import json

import numpy as np

from dataset.prepare.cleaning.cleaning import clean
from dataset.prepare.conversations import clean_record, compared_text
from dataset.prepare.duplicates.repeated_lines import line_keys
from dataset.prepare.reading import Chunk
from dataset.prepare.settings import Settings
from dataset.prepare.work import file_of
from model.disk import write_atomically

BEGINNING = 1000  # characters of a dropped document that the side file shows


def clean_chunk(job: tuple[str, Settings, Chunk]) -> int:
    """Returns how far the input is read. What is there of an earlier run is not made again."""
    folder, settings, chunk = job
    done = file_of(folder, "cleaned", chunk.number, "jsonl")
    if done.exists():
        return chunk.position
    rows = [_cleaned(settings, chunk.form, *row) for row in chunk.rows]
    if "lines" in settings.steps and chunk.form == "text":
        _write_lines(folder, chunk.number, [row["text"] for row in rows if "text" in row])
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_atomically(done, lambda file: file.write(lines.encode("utf-8", "backslashreplace")))
    return chunk.position


def _cleaned(settings: Settings, form: str, file: int, line: int, kind: str | None, text: str) -> dict:
    """What is known of a document: where it stood, its text or why it is dropped, its length before, its changes."""
    row = {"file": file, "line": line}
    if kind is None:
        return row | {"dropped": "unreadable", "detail": text}
    row["before"] = len(text if form == "text" else compared_text(json.loads(text)))
    if not text.strip():
        return row | {"dropped": "empty", "beginning": ""}
    if "clean" not in settings.steps:
        return row | {"text": text, "changes": {}}
    if form == "text":
        cleaned = clean(text, kind, not settings.keep_markdown, settings.personal)
        now, changes, whole = cleaned.text, cleaned.changes, bool(cleaned.text.strip())
    else:
        record = json.loads(text)
        changes, whole = clean_record(record, lambda said: clean(said, "text", False, settings.personal))
        now = json.dumps(record, ensure_ascii=False)
    if not whole:
        return row | {"dropped": "nothing left after cleaning", "beginning": text[:BEGINNING], "changes": changes}
    return row | {"text": now, "changes": changes}


def _write_lines(folder: str, number: int, texts: list[str]) -> None:
    keys = [line_keys(text) for text in texts]
    keys = np.concatenate(keys) if keys else np.zeros(0, np.uint64)
    write_atomically(file_of(folder, "lines", number, "npy"), lambda file: np.save(file, keys))
