"""One JSON array of all records, however long and however its lines are broken: read element by element.

It is the whole file, or lies under a key of the one object in the file, as in `{"version": 1, "data": [...]}`.
"""

import codecs
import collections
import itertools
import json
import re
import zlib
from collections.abc import Callable, Iterator

from dataset.records.formats import MAX_LINE_BYTES, BadLine, BadRecord, Record
from dataset.records.marks import is_followed
from dataset.records.odd_lines import KeyTwice, members_once, no_text, read_oddity
from model.errors import SproutError

CHUNK = 2**20
_BLANKS = re.compile(r"\s*")
BESIDE = ("system", "system_prompt", "tools", "functions", "history")  # what a record may say beside its turns


def elements_of_file(
    path: str, decompressed: Callable, progress: Callable[[int], None] | None
) -> Iterator[Record | BadLine] | None:
    """What `array_elements` yields of a file; None where each line is a record. Raises as `place_of_array`.

    decompressed: undoes the compression of an opened file, from its path and the file.
    """
    with open(path, "rb") as raw:
        place = place_of_array(path, decompressed(path, raw))

    def elements():
        with open(path, "rb") as raw:
            yield from array_elements(path, place, decompressed(path, raw), raw, progress)

    return None if place is None else elements()


def place_of_array(path: str, file) -> str | None:
    """Where the array of the records is: "" for the whole file, else its key; None where each line is a record.

    file: the bytes of `path`, from the first one on. Raises SproutError for an object with several such arrays, and for
    one that says something beside its array which records say of themselves.
    """
    line = file.readline(MAX_LINE_BYTES + 1)
    while line and not line.strip():
        line = file.readline(MAX_LINE_BYTES + 1)
    if line.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
        return "" if _is_array(line, file) else None
    fields = {}
    try:
        text = _Text(file, line)
        for key, value in _members(text):
            if key.lower() in fields:
                return None  # one of two values would be lost; the line says it
            fields[key.lower()] = list(itertools.islice(value, 1)) if isinstance(value, Iterator) else value
        if text.next_character():
            return None  # another object follows
    except (ValueError, RecursionError, EOFError, OSError, zlib.error):  # it is named where the lines are read
        return None
    lists = {key: value[0] for key, value in fields.items() if isinstance(value, list) and value}
    arrays = [key for key, first in lists.items() if key not in BESIDE and _is_record(first, key)]
    if not arrays or _is_record(fields):
        return None
    if len(arrays) > 1:
        names = ", ".join(f'"{key}"' for key in arrays[:8])
        raise SproutError(
            f"{path} is one JSON object with several lists of records ({names}): save one of them as a file"
        )
    beside = [key for key, value in fields.items() if (key in BESIDE and value) or is_followed(key, value)]
    if beside:
        raise SproutError(
            f'{path} is one JSON object with "{beside[0]}" beside its list of records: write that into each record,'
            " or leave it out"
        )
    return arrays[0]


def _is_record(value, key: str = "") -> bool:
    """Whether a value, the first one under `key`, is a record of a known format, or a list of turns.

    A text where turns are expected is a turn that does not say who speaks: the line is a chat, and a bad one.
    """
    from dataset.records.kinds import KINDS, TEXT  # only files that may be one object need all formats
    from dataset.records.prompts import TURNS

    if isinstance(value, list):
        return all(isinstance(turn, dict) for turn in value) and _are_turns(value)
    try:
        fields = {key.lower(): each for key, each in value.items()} if isinstance(value, dict) else {}
        return any(kind.find_format(fields) for kind in KINDS if kind is not TEXT or key not in TURNS)
    except BadRecord:
        return False


def _is_array(line: bytes, file) -> bool:
    """Whether a file that begins with a bracket is one array. If not, each of its lines is one, a list of turns.

    line: the first one; file: the bytes behind it.
    """
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return True  # it goes on in the next line
    if all(isinstance(item, dict) for item in value) and _are_turns(value):
        return False
    while more := file.read(CHUNK):
        if more.strip():
            return False
    return True


def _are_turns(values: list[dict]) -> bool:
    return bool(values) and all({"role", "from"} & {key.lower() for key in value} for value in values)


def array_elements(
    path: str, place: str, file, raw, progress: Callable[[int], None] | None
) -> Iterator[Record | BadLine]:
    """Every element of the array at `place` in `file`, which is `raw` decompressed, as a record.

    Its number, from 1, stands for the line.
    Nothing can be read behind an element that is not valid JSON, or longer than 10 MiB: the last thing yielded says so.
    """
    number = 0
    try:
        text = _Text(file)
        values = next(each for key, each in _members(text) if key.lower() == place) if place else _values(text)
        for number, value in enumerate(values, 1):
            value = {"text": value} if isinstance(value, str) else text.twice or value
            fields = {key.lower(): item for key, item in value.items()} if isinstance(value, dict) else None
            if fields is not None and len(fields) == len(value):
                yield Record(path, number, fields)
            else:
                yield read_oddity(path, number, "\n", value)
            if progress and number % 64 == 0:
                progress(raw.tell())
        if not place and text.next_character():
            raise ValueError("more follows the array: put all records into one array")
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
        return text.take("]")
    while True:
        yield text.value()
        if text.next_character() == "]":
            return text.take("]")
        text.take(",")


def _members(text: "_Text") -> Iterator[tuple[str, object]]:
    """The keys of an object, each with its value, or with the elements of an array. Raises ValueError where it is none.

    Elements that nobody has taken when the next key is asked for are left out.
    """
    text.take("{")
    while text.next_character() != "}":
        key = text.value()
        text.take(":")
        value = _values(text) if text.next_character() == "[" else text.value()
        yield str(key), value
        if isinstance(value, Iterator):
            collections.deque(value, maxlen=0)
        if text.next_character() != "}":
            text.take(",")
    text.take("}")


class _Text:
    """The part of a file's text that is not read yet, as far as it is in memory."""

    def __init__(self, file, before: bytes = b""):
        """before: what was read of the file already."""
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = self._decoder.decode(before)
        self.is_over = False
        self._at = 0  # up to where the text is read: what is behind it is not copied for each element
        self.twice: KeyTwice | None = None  # of the value that was read last
        self._json = json.JSONDecoder(parse_constant=_refuse, object_pairs_hook=self._object)

    def _more(self) -> None:
        left = self._text[self._at :]
        piece = self._file.read(max(CHUNK, len(left)))  # doubled, so that a long element is not parsed too often
        self._text, self._at = left + self._decoder.decode(piece, final=not piece), 0
        self.is_over = not piece

    def next_character(self) -> str:
        """The next character that is no space; empty at the end of the file."""
        self._at = _BLANKS.match(self._text, self._at).end()
        while self._at == len(self._text) and not self.is_over:
            self._more()
            self._at = _BLANKS.match(self._text).end()
        return self._text[self._at : self._at + 1]

    def take(self, character: str) -> None:
        if self.next_character() != character:
            cut = self.is_over and self._at == len(self._text)
            raise ValueError("the array does not end: is the file cut short?" if cut else f"expected {character!r}")
        self._at += 1

    def value(self):
        """The JSON value that comes next. Raises ValueError, RecursionError."""
        self.next_character()
        while True:
            try:
                self.twice = None
                value, end = self._json.raw_decode(self._text, self._at)
                if end < len(self._text) or self.is_over:  # else a number may go on
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                if self.is_over:  # the place of the error is counted from where the element begins
                    raise json.JSONDecodeError(error.msg, self._text[self._at :], error.pos - self._at) from error
            if len(self._text) - self._at > MAX_LINE_BYTES:
                raise ValueError(f"an element is longer than {MAX_LINE_BYTES // 2**20} MiB, or not closed")
            self._more()

    def _object(self, members: list) -> dict:
        try:
            return members_once(members)
        except KeyTwice as error:  # what follows this element can be read
            self.twice = error
            return dict(members)


def _refuse(name: str):
    raise ValueError(f"{name} is not a JSON value")
