"""The whole preparation, pass by pass, each of which goes on where a killed run stopped.

1. Every chunk of the input is cleaned, in processes. 2. Lines that recur in many documents are found. 3. Every chunk is
judged and hashed, in processes. 4. Duplicates are found among all documents. 5. The results are written, in order.
"""

import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from dataset.prepare.cleaned import clean_chunk, count_lines
from dataset.prepare.documents import Documents
from dataset.prepare.fates import decide
from dataset.prepare.judged import judge_chunk
from dataset.prepare.page import page
from dataset.prepare.processes import in_processes
from dataset.prepare.reading import CHARACTERS, FORMS, chunks
from dataset.prepare.report import Report
from dataset.prepare.settings import Settings
from dataset.prepare.settling import settled_texts
from dataset.prepare.sources import stamp
from dataset.prepare.work import WorkFolder, write_sealed
from dataset.prepare.writing import DROPPED, TRAINING, VALIDATION, write_dropped, write_results
from dataset.records.reading import bar_over, size_of
from model.disk import previous_path, sync_folder, write_atomically
from model.errors import SproutError

REPORT, PAGE = "report.json", "report.html"
RESULTS = (*TRAINING.values(), *VALIDATION.values(), DROPPED, PAGE, REPORT)  # the report is put in place last


def prepare(
    settings: Settings,
    save_dir: Path,
    work: WorkFolder,
    processes: int,
    others: list[str],
    say: Callable[[str], None] = print,
    chunk_characters: int = CHARACTERS,
) -> Report:
    """Makes the files of results in `save_dir`; those of an earlier run are kept aside.

    others: files that are not read, for the report. chunk_characters: how much of the input a process takes at once,
    which changes nothing of the result. Raises SproutError where there is nothing to read.
    """
    forms = work.read("chunks.json")
    if forms is None:
        forms = _clean(settings, work, processes, chunk_characters)
        work.write("chunks.json", forms)
    _judge(settings, work, forms, processes)
    report, files = _write(settings, work, forms)
    as_json = {"fingerprint": work.fingerprint, **report.as_json(files, others)}
    work.write(REPORT, as_json)
    html = page(as_json).encode("utf-8", "backslashreplace")  # names of files may hold bytes that are not UTF-8
    write_atomically(work.path / PAGE, lambda file: file.write(html))
    for kept in _put_in_place(work.path, save_dir):
        say(f"the earlier {kept.name.replace('.previous', '')} is kept as {kept}")
    work.remove()
    return report


def _clean(settings: Settings, work: WorkFolder, processes: int, characters: int) -> list[str]:
    """The first pass. Returns the form of each chunk."""
    forms: list[str] = []
    (work.path / "cleaned").mkdir(exist_ok=True)
    (work.path / "lines").mkdir(exist_ok=True)

    def jobs():
        for chunk in chunks(settings, characters):
            forms.append(chunk.form)
            yield str(work.path), settings, chunk

    with bar_over(sum(size_of(path) for _, path in settings.files), "cleaning") as bar:
        for position in in_processes(clean_chunk, jobs(), processes):
            bar.update(position - bar.n)
    for (_, path), before in zip(settings.files, work.read("run.json")["input"], strict=True):
        if stamp(Path(path)) != before:
            shutil.rmtree(work.path / "cleaned")  # of both: there is nothing to go on with
            raise SproutError(f"{path} changed while it was read: start again when it is complete")
    return forms


def _judge(settings: Settings, work: WorkFolder, forms: list[str], processes: int) -> None:
    """Repeated lines, and the pass that removes them and judges."""
    (work.path / "judged").mkdir(exist_ok=True)
    if "lines" in settings.steps:
        _count_lines(work.path, [number for number, form in enumerate(forms) if form == "text"])
    jobs = ((str(work.path), settings, number, form) for number, form in enumerate(forms))
    with bar_over(len(forms), "judging", unit=" parts") as bar:
        for _ in in_processes(judge_chunk, jobs, processes):
            bar.update()


def _count_lines(folder: Path, chunks: list[int]) -> None:
    """Writes what the processes that judge read; what it took in memory is free again before they begin."""
    path = folder / "repeated.npy"
    if not path.exists():
        counted = count_lines(folder, chunks)
        write_sealed(folder, path, lambda file: np.save(file, counted.counts))


def _write(settings: Settings, work: WorkFolder, forms: list[str]) -> tuple[Report, list[str]]:
    """Duplicates, split and mixture, and the files of results."""
    report, found, files = Report(settings), {}, []
    for form in FORMS:
        own = [number for number, each in enumerate(forms) if each == form]
        if own:
            texts = form == "text"
            documents = settled_texts(work, own, settings) if texts else Documents(work.path, form, own, settings)
            found[form] = documents, decide(documents, settings)
    for form, (documents, fates) in found.items():
        with closing(documents):
            files += write_results(work.path, settings, form, documents, fates)
            if fates.weights is not None:
                report.epochs[form] = {
                    name: fates.epochs[source] for source, name in enumerate(settings.sources) if fates.sizes[source]
                }
    write_dropped(work.path / DROPPED, work.path, settings, forms, found, report)
    if not report.read:
        raise SproutError("no document was found in the input: look at the files")
    return report, [*files, DROPPED]


def _put_in_place(folder: Path, save_dir: Path) -> list[Path]:
    """Moves the results to where they belong. Returns the names under which earlier ones are kept."""
    kept = []
    for name in RESULTS:  # those of an earlier run first, so that no mixture of two runs is left
        if (save_dir / name).exists() and not (folder / "placing").exists():
            os.replace(save_dir / name, previous_path(save_dir / name))
            kept.append(previous_path(save_dir / name))
    (folder / "placing").touch()
    for name in RESULTS:
        if (folder / name).exists():
            os.replace(folder / name, save_dir / name)
    sync_folder(save_dir)
    return kept
