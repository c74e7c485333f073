"""Repeated lines once more, where no duplicates are left, until nothing changes: preparing the result changes nothing.

A document of which more than half recurs keeps all its lines, because it may be one of many versions of a document.
When the other versions are gone, perhaps only its menu still recurs, in versions of other documents: now the menu can
go. What changes is judged and compared again, so it may be dropped, or turn out to be a duplicate.
"""

import json
import shutil

import numpy as np

from dataset.prepare.documents import Documents
from dataset.prepare.duplicates.repeated_lines import MOST_BITS, RepeatedLines
from dataset.prepare.fates import heads_of
from dataset.prepare.judged import Judged, write_judged
from dataset.prepare.settings import Settings
from dataset.prepare.work import WorkFolder, file_of
from dataset.prepare.writing import duplicates_in

AT_ONCE = 1000  # texts whose lines are counted together


def settled_texts(work: WorkFolder, chunks: list[int], settings: Settings) -> Documents:
    """The texts of these chunks, without those that fell out; all of them where nothing changes.

    A round writes the chunks of the one before into a new stage and removes the texts of that one; a killed run goes on
    behind the last whole one.
    """
    while True:
        stage = work.read("stage.json") or "judged"
        documents = Documents(work.path, "text", chunks, settings.compare, stage)
        lines = None
        if {"lines", "deduplicate"} <= set(settings.steps):
            heads = heads_of(documents, settings)[:, 0]
            lines = _still_repeated(documents, heads)
        if lines is None:
            return documents
        heads = _without_failing(documents, heads, settings, lines)
        following = f"judged{int(stage.removeprefix('judged') or 1) + 1}"
        (work.path / following).mkdir(exist_ok=True)
        for number in chunks:
            if not file_of(work.path, following, number, "json").exists():
                _settle_chunk(documents, heads, settings, following, number, lines)
        documents.close()
        work.write("stage.json", following)
        shutil.rmtree(documents.path, ignore_errors=True)  # Windows keeps files that are mapped
        for number in chunks:  # that they are judged, their .json still says
            for end in ("jsonl", "npy"):
                file_of(work.path, stage, number, end).unlink(missing_ok=True)


def _still_repeated(documents: Documents, heads: np.ndarray) -> RepeatedLines | None:
    """How many documents that are kept have each line, if one of them now loses lines; None if none does.

    Only those are counted that kept all their lines: from others, every line that recurs is gone.
    """
    recurring = np.flatnonzero((heads == np.arange(len(heads))) & documents.column("recurs"))
    characters = int(documents.column("characters")[recurring].sum(dtype=np.int64))
    # Twice as many entries as characters: lines of four characters, a quarter of that, rarely share all four of theirs.
    counted = RepeatedLines(min(MOST_BITS, max(16, characters.bit_length() + 1)))
    for start in range(0, len(recurring), AT_ONCE):
        counted.count([documents.text(index) for index in recurring[start : start + AT_ONCE]])
    changes = any(counted.remove(documents.text(index))[1] for index in recurring)
    return counted if changes else None


def _without_failing(documents: Documents, heads: np.ndarray, settings: Settings, lines: RepeatedLines) -> np.ndarray:
    """`heads`, but members of a cluster whose head is dropped without its lines stand for themselves: the next round
    keeps another of them."""
    numbers, failing = np.arange(len(heads)), []
    for index in np.flatnonzero((heads == numbers) & documents.column("recurs")):
        text = documents.text(index)
        if lines.remove(text)[1]:
            judged, row = Judged(settings, "text", lines), documents.rows[index]
            judged.add(0, {"file": int(row["file"]), "line": int(row["line"]), "text": text})
            if not judged.lines:
                failing.append(index)
    return np.where(np.isin(heads, failing), numbers, heads)


def _settle_chunk(
    documents: Documents, heads: np.ndarray, settings: Settings, stage: str, number: int, lines: RepeatedLines
) -> None:
    """Writes the chunk into the stage: what is kept, without lines that recur now, in the order of before."""
    earlier = json.loads(file_of(documents.folder, documents.stage, number, "json").read_text(encoding="utf-8"))
    hashed = np.load(file_of(documents.folder, documents.stage, number, "npy"))
    first, last = np.searchsorted(documents.rows["chunk"], (number, number + 1))
    here = np.arange(first, last)
    kept = heads[here] == here
    changed = Judged(settings, "text", lines)
    rows, texts = [], []
    for index, row in zip(here[kept], hashed[kept]):
        line = documents.line(index)
        if row["recurs"] and lines.remove(json.loads(line)["text"])[1]:
            before = len(changed.lines)
            changed.add(int(row["order"]), {"file": int(row["file"]), "line": int(row["line"]), **json.loads(line)})
            if len(changed.lines) == before:  # it was dropped
                continue
            line, row = changed.lines[-1], None
        rows.append(row)
        texts.append(line)
    again = iter(changed.documents(number))
    found = np.array([next(again) if row is None else row for row in rows], hashed.dtype)
    found["bytes"] = [len(line) for line in texts]
    found["offset"] = np.cumsum(found["bytes"], dtype=np.int64) - found["bytes"]
    dropped = [*earlier["dropped"], *changed.dropped, *duplicates_in(documents, heads, slice(first, last))]
    counts = _with_changes(earlier["counts"], changed.counts)
    write_judged(documents.folder, stage, number, found, texts, dropped, counts)


def _with_changes(counts: dict[str, dict], later: dict[int, dict]) -> dict[str, dict]:
    """What was counted of a chunk, with the changes of this round; its documents were counted when they were read."""
    for source, found in later.items():
        changes = counts[str(source)]["changes"]
        for name, count in found["changes"].items():
            changes[name] = changes.get(name, 0) + count
    return counts
