"""Repeated lines once more, where no duplicates are left, until nothing changes: preparing the result changes nothing.

A document of which more than half recurs keeps all its lines, because it may be one of many versions of a document.
When the other versions are gone, perhaps only its menu still recurs, in versions of other documents: now the menu can
go. What changes is judged and compared again, so it may be dropped, or turn out to be a duplicate.
"""

import json
import shutil
from itertools import chain

import numpy as np

from dataset.prepare.documents import Documents
from dataset.prepare.duplicates.repeated_lines import MOST_BITS, RepeatedLines
from dataset.prepare.fates import heads_of, stands_for_itself
from dataset.prepare.judged import Judged, write_judged
from dataset.prepare.parts import numbers_of, slices
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
        documents = Documents(work.path, "text", chunks, settings, stage)
        if not {"lines", "deduplicate"} <= set(settings.steps) or not _round(work, documents, settings):
            return documents
        documents.close()
        shutil.rmtree(documents.path, ignore_errors=True)  # Windows keeps files that are mapped
        for number in chunks:  # that they are judged, their .json still says
            for end in ("jsonl", "npy"):
                file_of(work.path, stage, number, end).unlink(missing_ok=True)


def _round(work: WorkFolder, documents: Documents, settings: Settings) -> bool:
    """Writes the next stage and returns True, or returns False if no document loses a line."""
    heads = heads_of(documents, settings)[:, 0]
    standing = _standing(documents, heads)
    lines = _counted(documents, standing)
    losing = _losing(documents, standing, lines)
    if not losing.any():
        return False
    heads, losing = _without_failing(documents, heads, settings, lines, losing)
    following = f"judged{int(documents.stage.removeprefix('judged') or 1) + 1}"
    (work.path / following).mkdir(exist_ok=True)
    for number in documents.chunks:
        if not file_of(work.path, following, number, "json").exists():
            _settle_chunk(documents, heads, settings, following, number, lines, losing)
    work.write("stage.json", following)
    return True


def _standing(documents: Documents, heads: np.ndarray) -> np.ndarray:
    """Which documents are kept and kept all their lines, though more than half recurs, bool [N]. From others, they are
    gone."""
    return stands_for_itself(heads) & documents.column("recurs")


def _counted(documents: Documents, standing: np.ndarray) -> RepeatedLines:
    """In how many of these documents each line stands."""
    characters = int(documents.column("characters")[standing].sum(dtype=np.int64))
    # Twice as many entries as characters: lines of four characters, a quarter of that, rarely share all four of theirs.
    counted = RepeatedLines(min(MOST_BITS, max(16, characters.bit_length() + 1)))
    for numbers in numbers_of(standing):
        for start in range(0, len(numbers), AT_ONCE):
            counted.count([documents.text(index) for index in numbers[start : start + AT_ONCE]])
    return counted


def _losing(documents: Documents, standing: np.ndarray, lines: RepeatedLines) -> np.ndarray:
    """Which documents now lose lines, of those that stand, bool [N]."""
    losing = np.zeros(len(documents), bool)
    for numbers in numbers_of(standing):
        losing[numbers] = [bool(lines.remove(documents.text(index))[1]) for index in numbers]
    return losing


def _without_failing(
    documents: Documents, heads: np.ndarray, settings: Settings, lines: RepeatedLines, losing: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`heads`, but members of a cluster whose head is dropped without its lines stand for themselves: the next round
    keeps another of them. And `losing` with those of them that lose lines, too."""
    failing = np.zeros(len(documents), bool)
    for index in chain.from_iterable(numbers_of(losing)):
        judged, row = Judged(settings, "text", lines), documents.rows[index]
        judged.add(0, {"file": int(row["file"]), "line": int(row["line"]), "text": documents.text(index)})
        failing[index] = not judged.lines
    changed = np.array(heads)
    for here in slices(len(heads)):
        without = failing[heads[here]]
        changed[here][without] = np.flatnonzero(without) + here.start
    new = _standing(documents, changed) & ~stands_for_itself(heads)
    return changed, losing | _losing(documents, new, lines)


def _settle_chunk(
    documents: Documents,
    heads: np.ndarray,
    settings: Settings,
    stage: str,
    number: int,
    lines: RepeatedLines,
    losing: np.ndarray,
) -> None:
    """Writes the chunk into the stage: what is kept, without lines that recur now, in the order of before."""
    earlier = json.loads(file_of(documents.folder, documents.stage, number, "json").read_text(encoding="utf-8"))
    hashed = np.load(file_of(documents.folder, documents.stage, number, "npy"))
    own = documents.of_chunk(number)
    here = np.arange(own.start, own.stop)
    kept = heads[here] == here
    changed = Judged(settings, "text", lines)
    rows, texts = [], []
    for index, row in zip(here[kept], hashed[kept]):
        line = documents.line(index)
        if losing[index]:
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
    dropped = [*earlier["dropped"], *changed.dropped, *duplicates_in(documents, heads, own)]
    counts = _with_changes(earlier["counts"], changed.counts)
    write_judged(documents.folder, stage, number, found, texts, dropped, counts)


def _with_changes(counts: dict[str, dict], later: dict[int, dict]) -> dict[str, dict]:
    """What was counted of a chunk, with the changes of this round; its documents were counted when they were read."""
    for source, found in later.items():
        changes = counts[str(source)]["changes"]
        for name, count in found["changes"].items():
            changes[name] = changes.get(name, 0) + count
    return counts
