"""Reads the data files: `tables/<name>.txt` and `wordings/<language>/<name>.yaml`.

A dataclass describes each file of wordings: its fields are the keys of the file. The type of a field also says which
placeholders its wordings may use: in `Annotated[Lines, "name", "a job"]` these are `{name}` and `{a job}`, and whatever
the entry holds may use them too. All other wordings may use none. `a|b` stands for alternatives of any words.

What is wrong in a file raises a `SproutError`: one sentence that names the file and the key, or the line of a table.
"""

import re
from collections.abc import Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, TypeVar, get_args, get_origin, get_type_hints

import yaml

from model.errors import SproutError

FOLDER = Path(__file__).parent
LANGUAGES = ("en", "zh")

Lines = tuple[str, ...]  # one wording each
Row = tuple[str, ...]  # a row of a table, one cell each
Kind = TypeVar("Kind")

_BRACES = re.compile(r"\{[^{}]*\}?|\}")
_ALTERNATIVES = re.compile(r"\{[^{}|]*\|[^{}]*\}")


class _YamlLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # the one in C is ten times as fast
    """Refuses a key that stands twice; YAML would take the last one."""

    def construct_mapping(self, node, deep=False):
        found = super().construct_mapping(node, deep)
        if len(found) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key stands here twice", node.start_mark)
        return found


@cache
def read_wordings(name: str, language: str, kind: type[Kind]) -> Kind:
    """The content of a file of wordings, as a dataclass or as a `dict` of them.

    A `dict` keyed by a `Literal` has exactly those keys. Raises `SproutError` for a key that is missing or unknown, and
    for a wording that is empty, is no text, or uses a placeholder that nothing fills.
    """
    path = wordings_path(name, language)
    try:
        content = yaml.load(_text_of(path), _YamlLoader)
    except yaml.YAMLError as error:
        raise SproutError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    return _checked(content, kind, path, (), ())


def wordings_path(name: str, language: str) -> Path:
    return FOLDER / "wordings" / language / f"{name}.yaml"


@cache
def read_table(name: str, columns: int) -> tuple[Row, ...]:
    """The rows of a table, with so many cells each. Raises `SproutError` for any other row."""
    path = FOLDER / "tables" / f"{name}.txt"
    rows = []
    for number, line in enumerate(_text_of(path).splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            row = tuple(cell.strip() for cell in line.split("|"))
            if len(row) != columns or not all(row):
                raise SproutError(f"{path}, line {number}: a row has {columns} cells divided by |, not {line!r}")
            rows.append(row)
    return tuple(rows)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SproutError(f"{path} cannot be read ({error.strerror}): the sample data is made from it") from error
    except UnicodeDecodeError as error:
        raise SproutError(f"{path} is not written in UTF-8: {error.reason} at byte {error.start}") from error


def _checked(value, kind, path: Path, keys: tuple[str, ...], allowed: Sequence[str]):
    """The value under these keys, if it is of that kind and uses only the allowed placeholders."""
    if get_origin(kind) is Annotated:
        kind, *allowed = get_args(kind)
    if kind is str:
        return _wording(value, path, keys, allowed)
    if kind == Lines:
        if isinstance(value, str):
            value = [line.strip() for line in value.splitlines() if line.strip()]
        if not isinstance(value, list) or not value:
            raise _error(path, keys, "must hold wordings, one a line")
        return tuple(_wording(each, path, keys, allowed) for each in value)
    if not isinstance(value, dict):
        raise _error(path, keys, "must hold entries of the form `key: value`")
    if is_dataclass(kind):
        kinds = get_type_hints(kind, include_extras=True)
        _check_keys(value, kinds, [each.name for each in fields(kind) if each.default is MISSING], path, keys)
        return kind(**{key: _checked(each, kinds[key], path, (*keys, key), allowed) for key, each in value.items()})
    key_kind, kind = get_args(kind)
    if key_kind is not str:
        _check_keys(value, get_args(key_kind), get_args(key_kind), path, keys)
    return {key: _checked(each, kind, path, (*keys, key), allowed) for key, each in value.items()}


def _check_keys(value: dict, known, needed, path: Path, keys: tuple[str, ...]) -> None:
    for key in needed:
        if key not in value:
            raise _error(path, (*keys, key), "is missing")
    for key in value:
        if key not in known:
            raise _error(path, (*keys, key), f"is unknown: the entries here are {', '.join(known)}")


def _wording(value, path: Path, keys: tuple[str, ...], allowed: Sequence[str]) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _error(path, keys, f"must hold text, not {value!r}: put it in quotes")
    for found in _BRACES.findall(_ALTERNATIVES.sub("{a|b}", value)):
        if found[1:-1] not in allowed or not found.endswith("}"):
            may = ", ".join(f"{{{name}}}" for name in allowed) or "no placeholder"
            raise _error(path, keys, f"uses {found}, which nothing fills, in {value!r}: it may use {may}")
    return value


def _error(path: Path, keys: tuple[str, ...], what: str) -> SproutError:
    return SproutError(f"{path}: {'.'.join(map(str, keys)) or 'the file'} {what}")
