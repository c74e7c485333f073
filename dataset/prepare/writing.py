"""The last pass: every document goes into one of the files of results, or into the side file of what was dropped."""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from dataset.prepare.documents import Documents
from dataset.prepare.fates import Fates
from dataset.prepare.judged import BEGINNING
from dataset.prepare.mixing import interleaved
from dataset.prepare.parts import numbers_of
from dataset.prepare.report import Report
from dataset.prepare.settings import Settings
from dataset.prepare.work import file_of

TRAINING = {"text": "text.jsonl", "chat": "chats.jsonl", "preference": "preferences.jsonl"}
VALIDATION = {"text": "val.jsonl", "chat": "val_chats.jsonl", "preference": "val_preferences.jsonl"}
DROPPED = "dropped.jsonl"


def write_results(folder: Path, settings: Settings, form: str, documents: Documents, fates: Fates) -> list[str]:
    """Writes what is kept of one form into `folder`; returns the names of the files."""
    written = []
    for name, chosen in (
        (TRAINING[form], _in_order(documents, fates, settings)),
        (VALIDATION[form], chain.from_iterable(numbers_of(fates.validation))),
    ):
        with open(folder / name, "wb") as file:
            for index in chosen:
                file.write(documents.line(index))
            if file.tell():
                written.append(name)
        if name not in written:
            (folder / name).unlink()
    return written


def _in_order(documents: Documents, fates: Fates, settings: Settings) -> Iterator[int]:
    """The numbers of what is trained on: as they come, or as the weights of the sources want."""
    if fates.weights is None:
        yield from chain.from_iterable(numbers_of(fates.copies))
        return
    source_of_file = np.array([source for source, _ in settings.files])
    sources, tokens = source_of_file[documents.column("file")], documents.column("tokens")

    def passes(own: np.ndarray) -> Iterator[int]:
        for number in range(int(fates.copies[own].max(initial=0))):
            yield from own[fates.copies[own] > number]

    each = [passes(np.flatnonzero(sources == source)) for source in range(len(settings.sources))]
    yield from interleaved(each, fates.weights, lambda index: int(tokens[index]))


def write_dropped(
    path: Path,
    folder: Path,
    settings: Settings,
    chunks: list[str],
    found: dict[str, tuple[Documents, Fates]],
    report: Report,
) -> None:
    """Goes through all chunks in order: counts everything that was read, and writes what was dropped.

    chunks: the form of each. folder: that of the run. The report is told of every document.
    """
    with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
        for number, form in enumerate(chunks):
            documents, fates = found[form]
            path = file_of(folder, documents.stage, number, "json")
            counted = json.loads(path.read_text(encoding="utf-8"))
            report.add_counts(counted["counts"])
            here = documents.of_chunk(number)
            report.add_kept(documents.rows[here], fates.copies[here], fates.validation[here])
            duplicates = duplicates_in(documents, fates.head, here) if fates.duplicate.any() else ()
            later = [*duplicates, *_left_by_mixture(documents, fates, here)]
            for entry in sorted(counted["dropped"] + later, key=lambda entry: entry["order"]):
                entry.pop("order")
                entry = _named(entry, settings)
                report.add_dropped(entry)
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            documents.forget()


def duplicates_in(documents: Documents, heads: np.ndarray, here: slice) -> Iterator[dict]:
    """What is written of each document that another one stands for. heads: int32 [N], the number of that one."""
    for index in np.flatnonzero(heads[here] != np.arange(here.start, here.stop)) + here.start:
        kept = documents.rows[heads[index]]
        equal = all(np.array_equal(*documents.keys[[index, heads[index]], side]) for side in documents.alike)
        entry = _entry(documents, index, "exact duplicate" if equal else "near-duplicate")
        yield entry | {"kept": [int(kept["file"]), int(kept["line"])]}


def _left_by_mixture(documents: Documents, fates: Fates, here: slice) -> Iterator[dict]:
    left = ~fates.duplicate[here] & ~fates.validation[here] & (fates.copies[here] == 0)
    for index in np.flatnonzero(left) + here.start:
        yield _entry(documents, index, "more than its weight")


def _entry(documents: Documents, index: int, rule: str) -> dict:
    row = documents.rows[index]
    place = {"order": int(row["order"]), "file": int(row["file"]), "line": int(row["line"])}
    return place | {"rule": rule, "text": documents.text(index)[:BEGINNING]}


def _named(entry: dict, settings: Settings) -> dict:
    """The entry as it is written: files by their names."""
    source, path = settings.files[entry["file"]]
    entry = {"source": settings.sources[source], **entry, "file": path}
    if "kept" in entry:
        source, path = settings.files[entry["kept"][0]]
        entry["kept"] = {"source": settings.sources[source], "file": path, "line": entry["kept"][1]}
    if "benchmark" in entry:
        entry["benchmark"] = dict(zip(("file", "line"), entry["benchmark"]))
    return entry
