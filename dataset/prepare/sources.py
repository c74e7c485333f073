"""What the user names: files, folders and patterns, as sources of documents in a fixed order.

A source is one word of the command line. Its files are read in the order of their names, and each of them in the order
of its lines, so that (source, file, line) orders all documents, whoever reads them.
"""

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dataset.command_line import refuse_same_file
from dataset.records.formats import MAX_LINE_BYTES, BadLine, BadRecord, Record, clean_string, list_keys
from dataset.records.odd_files import refusal
from dataset.records.odd_lines import HOLDS_JSON
from dataset.records.plain_text import is_json
from dataset.records.reading import (
    ACCEPTED,
    COMPRESSED,
    JSON,
    TABLES,
    TEXTS,
    check_file,
    files_of,
    lines_of,
    read_records,
)
from model.errors import SproutError, UsageError

# Each of these files is one document, in the form that the name says.
DOCUMENT_FILES = {".md": "markdown", ".markdown": "markdown", ".html": "html", ".htm": "html", ".xhtml": "html"}
PLAIN_TEXT = tuple(".txt" + end for end in COMPRESSED)
# Where a record without "text" may have its text, the likeliest first.
TEXT_COLUMNS = (
    "content",
    "raw_content",
    "body",
    "article",
    "document",
    "正文",
    "内容",
    "文本",
    "markdown",
    "html",
    "code",
)
FORMS_OF_COLUMNS = {"markdown": "markdown", "html": "html"}
FROM_HERE_ON = "from here on"  # how the reason of a bad line ends behind which nothing of the file was read
HTML_BEGINS = ("<!doctype html", "<html", "<?xml")


@dataclass(frozen=True)
class SourceFile:
    source: str  # the word of the command line that named it
    path: Path


@dataclass(frozen=True)
class SourceDocument:
    """One document as it was found.

    source: the path of its file. line: as in `Record`. text: of a chat or a pair, its record as JSON.
    kind: "text", "markdown", "html", "chat" or "preference".
    """

    source: str
    line: int
    text: str
    kind: str


def find_files(names: Sequence[str]) -> tuple[list[SourceFile], list[Path]]:
    """The files of all sources in order, and those in folders that are of no type we read.

    Raises UsageError for a pattern or a folder without a readable file and for a file that is named twice, SproutError
    for a file that cannot be used.
    """
    found, others = [], []
    for name in names:
        files = []
        for path in _matches(name):
            if not os.path.exists(path):  # unlike check_file, for the name of a folder, which has no ending
                raise SproutError(f"{path}: there is no such file or folder: check the name")
            if path.is_dir() and not _is_saved(path):
                inside, left = _files_below(path)
                files, others = files + inside, others + left
            else:
                if not path.is_dir() and path.suffix.lower() in DOCUMENT_FILES:
                    _check_document(path)
                else:
                    check_file(path)
                files.append(path)
        if not files:
            raise UsageError(
                f"{name} holds no file that can be read ({', '.join((*JSON, *TEXTS, *TABLES, *DOCUMENT_FILES))}): write"
                ' its texts into a .jsonl file, {"text": "..."} on each line'
            )
        found += [SourceFile(name, path) for path in files]
    refuse_same_file(file.path for file in found)
    return found, others


def _matches(name: str) -> list[Path]:
    """The path itself where it exists, else what the pattern matches; a name without wildcards is left as it is."""
    if os.path.exists(name) or not glob.has_magic(name):
        return [Path(name)]
    return [Path(each) for each in sorted(glob.glob(name, recursive=True))]


def _is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote it."""
    return any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))


def _files_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """What in a folder is read, and what is not: other types, links to folders, and links to what is read anyway.

    A saved data set counts as one file; what is hidden is not looked at.
    """
    files, others, saved = [], [], set()
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or saved & set(path.parents):
            continue
        if path.is_dir() and not path.is_symlink():
            if _is_saved(path):
                saved.add(path)
                check_file(path)
                files.append(path)
        else:
            (files if path.is_file() and _is_readable(path) else others).append(path)
    seen, once = {path.resolve() for path in files if not path.is_symlink()}, []
    for path in files:
        if path.is_symlink() and path.resolve() in seen:
            others.append(path)
        else:
            seen.add(path.resolve())
            once.append(path)
    return once, sorted(others)


def _is_readable(path: Path) -> bool:
    named = path.name.lower()
    return path.stat().st_size > 0 and named.endswith((*ACCEPTED, *DOCUMENT_FILES))


def _check_document(path: Path) -> None:
    if not path.is_file() or not path.stat().st_size:
        raise refusal(path, path.suffix)


def read_file(
    path: Path,
    text_column: str | None = None,
    txt: str = "file",
    kind: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[SourceDocument | BadLine]:
    """Every document of a file, and a `BadLine` for what is none.

    text_column: the key of the text; None finds it. txt: "file" makes a `.txt` file one document, "blocks" each block
    of lines between blank lines. kind: that of texts, where neither the name of the file or column nor the text
    itself says it; "text" also for those that begin as a page of HTML does. progress: as in `read_records`. Raises
    UsageError where the records are of another kind.
    """
    form = DOCUMENT_FILES.get(path.suffix.lower()) if not path.is_dir() else None
    if form is None and txt == "file" and path.name.lower().endswith(PLAIN_TEXT):
        form = "text"
    documents = [_whole_file(path, form)] if form else _records(path, text_column, progress)
    for each in documents:
        if isinstance(each, SourceDocument) and each.kind == "text" != kind:
            each = replace(each, kind="html" if _is_page(each.text) else kind or "text")
        yield each


def _whole_file(path: Path, kind: str) -> SourceDocument | BadLine:
    lines, size = [], 0
    for line in lines_of(str(path)):
        if isinstance(line, BadLine):  # half a document is none
            return replace(line, line=1)
        lines.append(line[1])
        size += len(line[1])
        if size > MAX_LINE_BYTES:
            how = "; --txt blocks makes a document of each block of lines" if kind == "text" else ""
            return BadLine(str(path), 1, f"the document is longer than {MAX_LINE_BYTES // 2**20} MiB{how}")
    text = _decoded(b"".join(lines))
    if text is None:
        return BadLine(str(path), 1, "not UTF-8, UTF-16 or GB18030")
    if kind == "text" and is_json(text.strip().splitlines() or [""]):
        return BadLine(str(path), 1, HOLDS_JSON)
    return SourceDocument(str(path), 1, text, kind)


def _decoded(content: bytes) -> str | None:
    """The text of a file in UTF-8, UTF-16 or UTF-32 with a mark, GB18030 if it is Chinese then; None for others."""
    encodings = ("utf-16",) if content.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8-sig", "gb18030")
    if content.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        encodings = ("utf-32",)
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "gb18030" and not _is_common_chinese(text):
            continue
        return text.replace("\0", "")
    return None


def _is_common_chinese(text: str) -> bool:
    """Whether nearly all that is not ASCII are the 3,755 characters of GB 2312's first level, and punctuation.

    Bytes of other encodings are GB18030 by chance, of characters then that are hardly ever written.
    """
    beyond = [character for character in text if ord(character) > 127]
    bytes_of_each = (character.encode("gb18030") for character in beyond)
    common = sum(0xA1 <= each[0] <= 0xA3 or (0xB0 <= each[0] <= 0xD7 and each[1] >= 0xA1) for each in bytes_of_each)
    return common >= 0.9 * len(beyond)


def _is_page(text: str) -> bool:
    """Whether a text is a page of HTML, as its beginning says."""
    return text[:200].lstrip("\ufeff \t\r\n").lower().startswith(HTML_BEGINS) and "<body" in text.lower()


def _records(path: Path, text_column: str | None, progress) -> Iterator[SourceDocument | BadLine]:
    read = None
    for item in _up_to_damage(path, progress):
        if isinstance(item, BadLine):
            yield item
            continue
        read = read or reader_for(item.fields, str(path), text_column)
        try:
            documents = list(read(item.fields))
        except BadRecord as error:
            yield BadLine(item.path, item.line, error.reason, error.detail)
            continue
        for text, kind in documents:
            yield SourceDocument(str(path), item.line, text, kind)


def _up_to_damage(path: Path, progress) -> Iterator[Record | BadLine]:
    """The records of a file. A table that is damaged behind its first record ends with a `BadLine`, as a compressed
    file does: the records of many other files must not be lost for it."""
    line = 0
    try:
        for item in read_records(path, progress):
            line = item.line
            yield item
    except SproutError as error:
        if not line:
            raise
        yield BadLine(str(path), line + 1, f"the file is damaged {FROM_HERE_ON}", str(error))


def reader_for(fields: dict, path: str, text_column: str | None) -> Callable[[dict], list[tuple[str, str]]]:
    """The function from a record's fields to (text, kind) of its documents, chosen by the first record of the file.

    Raises UsageError where there is none.
    """
    from dataset.prepare.conversations import other_kind, reader_of_conversations  # whole files do not load it

    if text_column is None:
        if reader := reader_of_conversations(fields):
            return reader
        found = (name for name in TEXT_COLUMNS if isinstance(fields.get(name), str))
        text_column = "text" if "text" in fields else next(found, None)
        if text_column is None:
            what = other_kind(fields) + "name a --text_column"
            raise UsageError(f"{path} has no text that can be found ({list_keys(fields)}): {what}")
    text_column = text_column.lower()
    if text_column not in fields:
        raise UsageError(f"{path} has no column {text_column!r} ({list_keys(fields)}): choose another --text_column")
    kind = FORMS_OF_COLUMNS.get(text_column, "text")
    return lambda found: [(clean_string(found, text_column, may_be_blank=True), kind)]


def check_columns(files: Sequence[SourceFile], text_column: str | None) -> None:
    """Looks at the first record of every file of records, so that a wrong one is named before the work begins.

    Raises UsageError, as `read_file` does.
    """
    for path in (file.path for file in files):
        if path.is_dir() or not path.name.lower().endswith((*DOCUMENT_FILES, *PLAIN_TEXT)):
            first = next((item for item in read_records(path) if not isinstance(item, BadLine)), None)
            if first is not None:
                reader_for(first.fields, str(path), text_column)


def stamp(file: Path) -> list:
    """What tells whether a file or folder has changed between two runs: its path, size and time of writing."""
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files_of(file)]
