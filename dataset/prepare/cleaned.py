"""The first pass over a chunk: its documents are cleaned, and the lines of texts are counted.

What is written for a chunk: `cleaned/N.jsonl`, a line for each document, and `lines/N.npz`, of each text
a hash, and those of its lines.
"""

import json
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from dataset.prepare.cleaning.cleaning import clean
from dataset.prepare.conversations import clean_record, said_in
from dataset.prepare.duplicates.normalised import text_key
from dataset.prepare.duplicates.repeated_lines import RepeatedLines, line_hashes
from dataset.prepare.parts import equal_together
from dataset.prepare.reading import Chunk
from dataset.prepare.settings import Settings
from dataset.prepare.work import file_of, write_sealed

BEGINNING = 1000  # characters of a dropped document that the side file shows


def clean_chunk(job: tuple[str, Settings, Chunk]) -> int:
    """Returns how far the input is read. What is there of an earlier run is not made again."""
    folder, settings, chunk = job
    done = file_of(folder, "cleaned", chunk.number, "jsonl")
    if done.exists():
        return chunk.position
    rows = [_cleaned(settings, chunk.form, *row) for row in chunk.rows]
    if "lines" in settings.steps and chunk.form == "text":
        counted = [row["text"] for row in rows if "text" in row and not settings.is_code(row["file"])]
        _write_lines(folder, chunk.number, counted)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_sealed(folder, done, lambda file: file.write(lines.encode("utf-8", "backslashreplace")))
    return chunk.position


def _cleaned(settings: Settings, form: str, file: int, line: int, kind: str | None, text: str) -> dict:
    """What is known of a document: where it stood, its text or why it is dropped, its length before, its changes."""
    row = {"file": file, "line": line}
    if kind is None:
        return row | {"dropped": "unreadable", "detail": text}
    row["before"] = len(text if form == "text" else said_in(json.loads(text)))
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
    lines = [line_hashes(text) for text in texts]
    arrays = {
        "texts": np.array([_key(text, found) for text, found in zip(texts, lines)], np.uint64),
        "counts": np.array([len(each) for each in lines], np.int64),
        "lines": np.concatenate([*lines, np.zeros(0, np.uint64)]),
    }
    write_sealed(folder, file_of(folder, "lines", number, "npz"), lambda file: np.savez(file, **arrays))


def _key(text: str, lines: np.ndarray) -> int:
    """The same for texts that are equal, and equal in their lines: the exact key does not see where lines end."""
    return int.from_bytes(blake2b(text_key(text) + np.sort(lines).tobytes(), digest_size=8).digest())


def count_lines(folder: str, chunks: Sequence[int]) -> RepeatedLines:
    """In how many texts each line of these chunks stands. Equal texts count once, else all their lines would recur."""
    files = [file_of(folder, "lines", number, "npz") for number in chunks]
    is_first = _first_of_equals(np.concatenate([np.load(file)["texts"] for file in files] or [np.zeros(0, np.uint64)]))
    counted, done = RepeatedLines(), 0  # the table takes more memory than what came before, which is free by now
    for file in files:
        found = np.load(file)
        here = is_first[done : done + len(found["texts"])]
        counted.count_hashes(found["lines"][np.repeat(here, found["counts"])])
        done += len(here)
    return counted


def _first_of_equals(keys: np.ndarray) -> np.ndarray:
    """Whether no earlier text has the same key, bool [N]. keys: uint64 [N]."""
    is_first = np.zeros(len(keys), bool)
    for numbers in equal_together(keys, np.ones(len(keys), bool)):
        is_first[numbers[np.unique(keys[numbers], return_index=True)[1]]] = True
    return is_first
