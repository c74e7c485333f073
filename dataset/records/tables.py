"""Records from tables, a row each: parquet, Arrow, CSV and TSV, and data sets saved by `datasets`."""

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow
import pyarrow.ipc
import pyarrow.parquet

from dataset.records.arrow import rows_of
from dataset.records.formats import MAX_LINE_BYTES, BadLine
from dataset.records.marks import LABELS, MARKS
from dataset.records.odd_lines import NOT_READ, NOT_TEXT, in_lower_case, no_text
from dataset.records.saved import data_files
from model.errors import SproutError

ROWS_AT_ONCE = 128
_DECIMAL_COMMA = re.compile(r"^\s*([-+]?[0-9]+),([0-9]+)\s*$")
NUMBERS = ("score", "margin", "rank", *LABELS, *MARKS)  # columns of a CSV file that are not text


def table_rows(
    path: str, file_type: str, progress: Callable[[int], None] | None
) -> Iterator[tuple[int, dict | BadLine]]:
    """(number of the row, counted from 1; its values by name in lower case, or a bad line).

    `progress` as in `reading.read_records`. Raises SproutError for a file that is damaged or of another kind.
    """
    if file_type in (".csv", ".tsv"):
        yield from _separated(path, _delimiter(path, file_type), progress)
        return
    number = 0
    read = {".parquet": _parquet, ".arrow": _arrow, "save_to_disk": _saved}[file_type]
    try:
        for fields in read(path, progress or (lambda position: None)):
            number += 1
            yield number, BadLine(path, number, "not UTF-8") if fields is None else in_lower_case(path, number, fields)
    except (pyarrow.ArrowException, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        kind = file_type.lstrip(".")
        raise SproutError(
            f"{path}:{number + 1}: cannot be read as {kind} ({reason}): is the file whole, and of that kind?"
        ) from error


def schema_of(path: str, file_type: str) -> pyarrow.Schema:
    """The columns of a table. Raises ArrowException, OSError or ValueError where they cannot be read."""
    if file_type in (".csv", ".tsv"):
        with open(path, encoding="utf-8-sig") as file:
            names = next(csv.reader(file, delimiter=_delimiter(path, file_type)), [])
        return pyarrow.schema([(name, pyarrow.string()) for name in names])
    if file_type == ".parquet":
        return pyarrow.parquet.read_schema(path)
    file = path if file_type == ".arrow" else str(data_files(Path(path))[0])
    with pyarrow.memory_map(file) as source:
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        return (pyarrow.ipc.open_file if is_file else pyarrow.ipc.open_stream)(source).schema


def _parquet(path: str, progress: Callable[[int], None]) -> Iterator[dict | None]:
    # pre_buffer would hold a whole row group (often hundreds of MB) in memory.
    with pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
        _refuse_equal_names(path, file.schema_arrow.names)
        size, rows = os.path.getsize(path), max(file.metadata.num_rows, 1)
        done = 0
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
            progress(size * done // rows)
            done += batch.num_rows
            yield from rows_of(batch, file.schema_arrow)


def _arrow(path: str, progress: Callable[[int], None]) -> Iterator[dict | None]:
    """Arrow's stream format, in which `datasets` keeps its cache, or its file format."""
    with pyarrow.memory_map(path) as source:
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        if is_file:
            file = pyarrow.ipc.open_file(source)
            batches = (file.get_batch(index) for index in range(file.num_record_batches))
        else:
            batches = file = pyarrow.ipc.open_stream(source)
        _refuse_equal_names(path, file.schema.names)
        for batch in batches:
            yield from rows_of(batch, file.schema)
            progress(source.tell())


def _saved(path: str, progress: Callable[[int], None]) -> Iterator[dict | None]:
    done = 0
    for file in data_files(Path(path)):
        yield from _arrow(str(file), lambda position, done=done: progress(done + position))
        done += file.stat().st_size


def _delimiter(path: str, file_type: str) -> str:
    """What separates the cells: a comma or a tab, as the name says, unless only another sign separates the header.

    Spreadsheets write semicolons where the comma is the decimal sign, and some programs a comma whatever the name.
    """
    usual = "," if file_type == ".csv" else "\t"
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        header = file.readline()
    return next((mark for mark in (usual, ";", "\t", ",") if mark in header), usual)


def _separated(path: str, mark: str, progress: Callable[[int], None] | None) -> Iterator[tuple[int, dict | BadLine]]:
    """Rows of a file whose first line names the columns. An empty cell is none; numbers are read in `NUMBERS` only."""
    csv.field_size_limit(MAX_LINE_BYTES)
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.DictReader(_counted(file, progress), delimiter=mark, strict=True)
        try:
            _refuse_names_in_another_encoding(path, rows.fieldnames or ())
            _refuse_equal_names(path, rows.fieldnames or ())
            for number, row in enumerate(rows, 1):
                cells = {name.strip(): cell for name, cell in row.items() if name and cell}
                if None in row:
                    raise csv.Error("more cells than the first line has names")
                if not all(map(_is_utf8, cells.values())):
                    yield number, no_text(path, number, _bytes_of(cells.values()))
                else:
                    fields = {name: _number(name, cell, mark) for name, cell in cells.items()}
                    yield number, in_lower_case(path, number, fields)
        except csv.Error as error:
            raise SproutError(
                f"{path}:{rows.line_num}: cannot be read as a table ({error}): is the file whole?"
            ) from error


def _is_utf8(cell: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in cell)


def _bytes_of(cells: Iterable[str]) -> bytes:
    return "".join(cells).encode("utf-8", "surrogateescape")


def _refuse_names_in_another_encoding(path: str, names: Sequence[str]) -> None:
    """Raises SproutError where the names of the columns are not UTF-8, and says how the file is converted."""
    if not all(map(_is_utf8, names)):
        found = no_text(path, 1, _bytes_of(names))
        advice = "" if found.reason == NOT_TEXT or "iconv" in found.detail else ": save the file as UTF-8"
        raise SproutError(f"{found}{advice}")


def _refuse_equal_names(path: str, names: Sequence[str]) -> None:
    """Raises SproutError where two columns have one name, of which only the last would be read."""
    names = [name.strip() for name in names]
    for name in names:
        if name and name.lower() not in NOT_READ and names.count(name) > 1:
            raise SproutError(f"{path}: two columns are called {name!r}: rename one of them")


def _counted(file, progress: Callable[[int], None] | None) -> Iterator[str]:
    read = 0
    for number, line in enumerate(file, 1):
        read += len(line.encode("utf-8", "surrogateescape"))
        if progress and number % 64 == 0:
            progress(read)
        yield line


def _number(name: str, cell: str, mark: str):
    if name.lower() not in NUMBERS:
        return cell
    try:
        return json.loads(_DECIMAL_COMMA.sub(r"\1.\2", cell.lower()) if mark == ";" else cell.lower())
    except ValueError:
        return cell
