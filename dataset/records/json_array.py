"""One JSON array of records, however long and however its lines are broken: read element by element."""

import codecs
import json
import zlib
from collections.abc import Callable, Iterator

from dataset.records.formats import MAX_LINE_BYTES, BadLine, Record
from dataset.records.odd_lines import no_text, read_oddity

CHUNK = 2**20


def is_array(file) -> bool:
    """Whether a file that begins with a bracket is one array. If not, each of its lines is one, a list of turns.

    file: of bytes, at its beginning.
    """
    line = file.readline(MAX_LINE_BYTES + 1)
    while line and not line.strip():
        line = file.readline(MAX_LINE_BYTES + 1)
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return True  # it goes on in the next line
    if not all(isinstance(item, dict) for item in value) or _are_turns(value):
        return False
    while more := file.read(CHUNK):
        if more.strip():
            return False
    return True


def _are_turns(values: list[dict]) -> bool:
    return bool(values) and all({"role", "from"} & {key.lower() for key in value} for value in values)


def array_elements(path: str, file, raw, progress: Callable[[int], None] | None) -> Iterator[Record | BadLine]:
    """Every element of `file`, which is `raw` decompressed, as a record; its number, from 1, stands for the line.

    Nothing can be read behind an element that is not valid JSON, or longer than 10 MiB: the last thing yielded says so.
    """
    number = 0
    try:
        for number, value in enumerate(_values(_Text(file)), 1):
            if isinstance(value, dict):
                yield Record(path, number, {key.lower(): item for key, item in value.items()})
            else:
                yield read_oddity(path, number, "\n", value)
            if progress and number % 64 == 0:
                progress(raw.tell())
    except UnicodeDecodeError as error:
        yield no_text(path, number + 1, error.object)
    except (ValueError, RecursionError) as error:
        yield read_oddity(path, number + 1, "\n", error)
    except (EOFError, OSError, zlib.error) as error:  # of decompression
        yield BadLine(path, number + 1, "the compressed data are damaged or cut short from here on", str(error))


def _values(text: "_Text") -> Iterator:
    """The elements of an array. Raises ValueError where it is none."""
    text.take("[")
    if text.next_character() == "]":
        return
    while True:
        yield text.value()
        if text.next_character() == "]":
            return
        text.take(",")


class _Text:
    """The part of a file's text that is not read yet, as far as it is in memory."""

    def __init__(self, file):
        self._file, self._decoder = file, codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self.is_over = "", False

    def _more(self) -> None:
        piece = self._file.read(max(CHUNK, len(self._text)))  # doubled, so that a long element is not parsed too often
        self._text += self._decoder.decode(piece, final=not piece)
        self.is_over = not piece

    def next_character(self) -> str:
        """The next character that is no space; empty at the end of the file."""
        self._text = self._text.lstrip()
        while not self._text and not self.is_over:
            self._more()
            self._text = self._text.lstrip()
        return self._text[:1]

    def take(self, character: str) -> None:
        if self.next_character() != character:
            cut = self.is_over and not self._text
            raise ValueError("the array does not end: is the file cut short?" if cut else f"expected {character!r}")
        self._text = self._text[1:]

    def value(self):
        """The JSON value that comes next. Raises ValueError, RecursionError."""
        self.next_character()
        while True:
            try:
                value, length = json.JSONDecoder(parse_constant=_refuse).raw_decode(self._text)
                if length < len(self._text) or self.is_over:  # else a number may go on
                    self._text = self._text[length:]
                    return value
            except json.JSONDecodeError:
                if self.is_over:
                    raise
            if len(self._text) > MAX_LINE_BYTES:
                raise ValueError(f"an element is longer than {MAX_LINE_BYTES // 2**20} MiB, or not closed")
            self._more()


def _refuse(name: str):
    raise ValueError(f"{name} is not a JSON value")
