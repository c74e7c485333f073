"""From files to tasks: all items of one layout, asked in one form, with the examples (shots) before them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from dataset.command_line import refuse_same_file
from dataset.records.formats import BadLine, BadRecord, Record, clean_string
from dataset.records.reading import check_file, read_records
from inference.benchmark.choices import CHOICES
from inference.benchmark.items import Form, Item, Layout, has
from inference.benchmark.letters import LETTERED
from inference.benchmark.word_problems import WRITTEN
from model.errors import SproutError, UsageError


def _passage(fields: dict) -> Item:
    text = clean_string(fields, "text", may_be_blank=True)
    if not text:
        raise BadRecord('"text" is empty')
    return Item("", text, text)


PASSAGES = Layout("text", "text", has("text"), (Form("", _passage, ("perplexity", "bits_per_byte")),))
LAYOUTS = (*CHOICES, *LETTERED, *WRITTEN, PASSAGES)  # the first that fits a record wins


@dataclass(frozen=True)
class Entry:
    """An item, where it stands, and all that the network reads before it answers."""

    item: Item
    path: str
    line: int
    subject: str | None
    context: str
    shots: int  # how many examples are in the context


@dataclass
class Task:
    """All items of a layout in one form.

    shots: how many examples are wanted before each; left_out: how many records could not be asked in this form.
    """

    layout: Layout
    form: Form
    shots: int
    entries: list[Entry] = field(default_factory=list)
    left_out: int = 0

    @property
    def name(self) -> str:
        return f"{self.layout.name} {self.form.name}".rstrip()


def read_tasks(
    paths: Sequence[str], shots_paths: Sequence[str] = (), shots: int | None = None, limit: int | None = None
) -> list[Task]:
    """The tasks that these files hold; files of one layout are one task (a file for each subject, say).

    shots: how many examples stand before an item, the first ones of the files `shots_paths` of its layout and, where
        that is known, its subject (default: as many as is usual, or as there are, if there is such a file).
    limit: how many items of each file are read; None: all.

    Raises `SproutError` for a file that is of no layout, and for the first record that cannot be used; `UsageError`
    where there are fewer examples than `shots` asks for.
    """
    if shots and not shots_paths:
        raise UsageError(f"--shots {shots} are examples out of a file: give it by --shots_path")
    _refuse_overlap(paths, shots_paths)
    examples = [_read(path) for path in shots_paths]
    tasks: dict[str, Task] = {}
    used = set()
    for path in paths:
        layout, records = _read(path, limit)
        mine = [(number, one) for number, (other, one) in enumerate(examples) if other is layout]
        used.update(number for number, _ in mine)
        count = (layout.shots if shots is None else shots) if mine else 0
        for form in layout.forms:
            task = tasks.setdefault(f"{layout.name} {form.name}", Task(layout, form, count))
            before: dict[str | None, tuple[str, int]] = {}
            for record in records:
                item, subject = _item(form, record), subject_of(layout, record)
                if item is None:
                    task.left_out += 1
                    continue
                if subject not in before:
                    shown = [each for _, some in mine for each in some if subject_of(layout, each) == subject]
                    texts = _shown(form, shown, count)
                    if shots is not None and len(texts) < count:
                        kind = task.name if subject is None else f"{task.name}, {subject}"
                        raise UsageError(f"--shots {shots} are more than the {len(texts)} in --shots_path of {kind}")
                    before[subject] = form.describe(subject) + "".join(texts), len(texts)
                texts, number = before[subject]
                task.entries.append(Entry(item, record.path, record.line, subject, texts + item.context, number))
    for number, (layout, _) in enumerate(examples):
        if number not in used:
            raise UsageError(f"--shots_path {shots_paths[number]} holds {layout.name}, which no --data_path holds")
    return [task for task in tasks.values() if task.entries]


def _refuse_overlap(paths: Sequence[str], shots_paths: Sequence[str]) -> None:
    """Raises `UsageError` for a file that counts twice, or whose items would be shown their own answers."""
    for path in (*paths, *shots_paths):
        check_file(path)
    refuse_same_file(map(Path, paths))
    refuse_same_file(map(Path, shots_paths))
    for path in shots_paths:
        if any(os.path.samefile(path, asked) for asked in paths):
            raise UsageError(f"--shots_path {path} is also in --data_path, so items would be shown their own answers")


def _read(path: str, limit: int | None = None) -> tuple[Layout, list[Record]]:
    """The layout that the first record of a file reveals, and its records."""
    layout = None
    records = []
    for record in read_records(path):
        if isinstance(record, BadLine):
            raise SproutError(f"{record}: correct it, or remove the line")
        if layout is None:
            layout = next((one for one in LAYOUTS if one.fits(record.fields)), None)
        if layout is None or not layout.fits(record.fields):
            raise SproutError(f"{record.path}:{record.line}: {_unknown(record.fields, layout)}")
        records.append(record)
        if len(records) == limit:
            break
    if layout is None:
        raise SproutError(f"{path} holds no record")
    return layout, records


def _unknown(fields: dict, layout: Layout | None) -> str:
    keys = ", ".join(map(str, list(fields)[:8])) or "none"
    if layout:
        return f"the keys ({keys}) are not those of {layout.name}, which the file begins with: give each its own file"
    known = "; ".join(f"{one.name} ({one.shape})" for one in LAYOUTS)
    return f"no benchmark has the keys {keys}: the known ones are {known}"


def _item(form: Form, record: Record) -> Item | None:
    try:
        return form.read(record.fields)
    except BadRecord as error:
        detail = f" ({error.detail})" if error.detail else ""
        raise SproutError(f"{record.path}:{record.line}: {error.reason}{detail}") from error


def subject_of(layout: Layout, record: Record) -> str | None:
    """The part of a benchmark that a record belongs to, by its key or by the names of the file and its folder."""
    if layout.subject_key:
        value = record.fields.get(layout.subject_key)
        return value if isinstance(value, str) else None
    path = Path(record.path)
    names = (path.stem, path.stem.rpartition("_")[0], path.parent.name)
    return next((name for name in names if name in layout.subjects), None)


def _shown(form: Form, records: Sequence[Record], count: int) -> list[str]:
    """The first `count` examples that can be asked in this form, each with its answer."""
    items = (item for record in records if (item := _item(form, record)) is not None)
    return [f"{item.context}{item.delimiter}{item.shown or item.answer}\n\n" for item in islice(items, count)]
