"""The second pass over a chunk: repeated lines leave, documents are judged, and what is kept is hashed.

What is written for a chunk: `judged/N.jsonl`, the lines of the result; `N.npy`, a row of `document_type` for each of
them; `N.json`, what was dropped and counted. `N.json` is written last: where it is, the chunk is done.
"""

import functools
import json
import os
from collections import Counter

import numpy as np

from dataset.prepare.cleaned import BEGINNING
from dataset.prepare.cleaning.cleaning import clean
from dataset.prepare.contamination import passages_of
from dataset.prepare.conversations import answers_of, everything_said_in, said_in
from dataset.prepare.duplicates.minhash import band_keys
from dataset.prepare.duplicates.normalised import text_key
from dataset.prepare.duplicates.repeated_lines import RepeatedLines
from dataset.prepare.judging.judging import judge
from dataset.prepare.judging.language import language
from dataset.prepare.report import length_class
from dataset.prepare.settings import Settings
from dataset.prepare.work import file_of, write_sealed

DOCUMENT = np.dtype(
    [
        ("file", np.int32),
        ("line", np.int64),
        ("order", np.int32),  # of the document in its chunk, dropped ones included
        ("chunk", np.int32),
        ("offset", np.int64),  # of its line in the chunk's file of results
        ("bytes", np.int32),  # of that line
        ("characters", np.int32),
        ("tokens", np.int32),  # by the tokenizer; without one, bytes of its text
        ("language", "S8"),
        ("recurs", bool),  # more than half of its lines do
    ]
)


def document_type(sides: int) -> np.dtype:
    """`DOCUMENT`, and of each side of a document the key of the exact text and the bands of MinHash.

    Which sides there are, `Settings.sides` says.
    """
    return np.dtype([*DOCUMENT.descr, ("key", np.uint8, (sides, 16)), ("bands", np.uint64, (sides, 14))])


def judge_chunk(job: tuple[str, Settings, int, str]) -> None:
    """job: folder of the run, settings, number of the chunk and its form."""
    folder, settings, number, form = job
    done = file_of(folder, "judged", number, "json")
    if done.exists():
        return
    repeated = None
    if form == "text" and "lines" in settings.steps:
        path = f"{folder}/repeated.npy"
        repeated = _repeated(path, os.stat(path).st_mtime_ns)
    judged = Judged(settings, form, repeated)
    with open(file_of(folder, "cleaned", number, "jsonl"), encoding="utf-8") as file:
        for order, line in enumerate(file):
            judged.add(order, json.loads(line))
    write_judged(folder, "judged", number, judged.documents(number), judged.lines, judged.dropped, judged.counts)
    file_of(folder, "cleaned", number, "jsonl").unlink()


def write_judged(folder, stage: str, number: int, documents: np.ndarray, lines: list[bytes], dropped, counts) -> None:
    """The files of a chunk, as this module's docstring lists them, in `stage` instead of `judged`."""
    counted = json.dumps({"dropped": dropped, "counts": counts}, ensure_ascii=False)
    for end, write in (
        ("jsonl", lambda file: file.writelines(lines)),
        ("npy", lambda file: np.save(file, documents)),
        ("json", lambda file: file.write(counted.encode("utf-8", "backslashreplace"))),
    ):
        write_sealed(folder, file_of(folder, stage, number, end), write)


class Judged:
    """What becomes of the documents of a chunk.

    counts: by number of the source, how many documents were read, how many a change was made in (by change), and how
    many had each length before (see `length_class`).
    """

    def __init__(self, settings: Settings, form: str, repeated: RepeatedLines | None):
        """repeated: what is known of lines that recur, None where all stay."""
        self.settings, self.form, self.repeated = settings, form, repeated
        self.lines: list[bytes] = []
        self.dropped: list[dict] = []
        self.counts: dict[int, dict] = {}
        self._sides: list[tuple[str, ...]] = []  # of each document that is kept
        self._rows: list[tuple] = []  # the columns that `documents` names, of what is kept

    def add(self, order: int, row: dict) -> None:
        source = self.settings.files[row["file"]][0]
        counts = self.counts.setdefault(source, {"read": 0, "changes": Counter(), "lengths": Counter()})
        counts["read"] += 1
        counts["changes"].update(dict.fromkeys(row.get("changes", ()), 1))
        if "before" in row:
            counts["lengths"][length_class(row["before"])] += 1
        if "dropped" in row:
            self._drop(order, row, row["dropped"], row.get("beginning", ""), detail=row.get("detail"))
            return
        text = row["text"]
        if self.settings.weights and "mix" in self.settings.steps and not self.settings.weights[source]:
            # Left out now, lest a copy in a source that is wanted be dropped as its duplicate.
            return self._drop(
                order, row, "more than its weight", text if self.form == "text" else said_in(json.loads(text))
            )
        record, recurs = json.loads(text) if self.form != "text" else None, False
        if self.repeated is not None and not self.settings.is_code(row["file"]):
            text, removed, recurs = self.repeated.remove(text)
            if removed:
                counts["changes"]["repeated lines"] += 1
                if "clean" in self.settings.steps:  # what stood beside these lines may be markers or mojibake alone
                    text = clean(text, "text", not self.settings.keep_markdown, self.settings.personal).text
            if removed and not text.strip():
                return self._drop(order, row, "nothing left after cleaning", row["text"])
        said = text if record is None else said_in(record)
        why = self._verdict(source, text, record)
        if why:
            return self._drop(order, row, shown=said, **why)
        self.lines.append(
            (json.dumps({"text": text} if record is None else record, ensure_ascii=False) + "\n").encode()
        )
        sides = self.settings.sides(self.form)
        self._sides.append((text,) if record is None else tuple(said_in(record, side) for side in sides))
        self._rows.append((row["file"], row["line"], order, len(said), self._tokens(said), recurs))

    def _verdict(self, source: int, text: str, record: dict | None) -> dict | None:
        """By which rule a document is dropped; None if it is kept."""
        settings = self.settings
        if "judge" in settings.steps:
            rules = settings.rules[source] if record is None else settings.conversation_rules[source]
            for judged in () if rules == "none" else [text] if record is None else answers_of(record):
                verdict = judge(judged, rules)
                if verdict.rule:
                    return {"rule": verdict.rule, "value": verdict.value, "threshold": verdict.threshold}
        if settings.against and "decontaminate" in settings.steps:
            looked_at = text if record is None else everything_said_in(record)
            found = _passages(settings.against).first_in(looked_at)
            if found:
                return {"rule": "stands in a benchmark", "benchmark": list(found)}
        return None

    def _tokens(self, said: str) -> int:
        if self.settings.tokenizer_path is None:
            return len(said.encode("utf-8"))
        return len(_tokenizer(self.settings.tokenizer_path).encode(said))

    def _drop(self, order: int, row: dict, rule: str, shown: str, **more) -> None:
        more = {key: value for key, value in more.items() if value is not None}
        entry = {"order": order, "file": row["file"], "line": row["line"], "rule": rule, **more}
        self.dropped.append(entry | {"text": shown[:BEGINNING]})

    def documents(self, chunk: int) -> np.ndarray:
        """A row of `document_type` for each of `lines`."""
        found = np.zeros(len(self.lines), document_type(len(self.settings.sides(self.form))))
        if not self.lines:
            return found
        names = ("file", "line", "order", "characters", "tokens", "recurs")
        for name, values in zip(names, zip(*self._rows)):
            found[name] = values
        found["chunk"] = chunk
        found["bytes"] = [len(line) for line in self.lines]
        found["offset"] = np.cumsum(found["bytes"], dtype=np.int64) - found["bytes"]
        found["language"] = [language("\n".join(each)).encode()[:8] for each in self._sides]
        if {"deduplicate", "split"} & set(self.settings.steps):
            for side, texts in enumerate(zip(*self._sides)):
                found["key"][:, side] = [np.frombuffer(text_key(text), np.uint8) for text in texts]
                found["bands"][:, side] = band_keys(texts)
        return found


# What a process loads once, for all of its chunks.


@functools.cache
def _repeated(path: str, written: int) -> RepeatedLines:
    """written: when; another run may use the same folder."""
    return RepeatedLines(counts=np.load(path, mmap_mode="r"))


@functools.cache
def _passages(paths: tuple[str, ...]):
    return passages_of(paths)


@functools.cache
def _tokenizer(path: str):
    from model.text.tokenizer import Tokenizer

    return Tokenizer.load(path)
