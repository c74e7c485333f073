"""From Arrow's cells to what the record's author wrote.

All structs of a column have the same keys, so a key that a turn or a call does not have is null in it: such keys are
left out, at every depth (`dataset.records.nulls` does this for JSON). Turns, contents or schemas whose keys or types
differ are stored by `datasets` 5 as JSON text of Arrow's extension type `arrow.json`: that is decoded, at every depth.
Anything in JSON text is as its author wrote it, nulls too.
"""

import json
from collections.abc import Callable, Iterator

import pyarrow
import pyarrow.types as types


def rows_of(batch: pyarrow.RecordBatch, schema: pyarrow.Schema) -> Iterator[dict | None]:
    """Every row, its values by name; None for a row with text that is not UTF-8.

    A value that Python does not have, such as a date in the year 12,000, is None.
    """
    names, readers = schema.names, [_reader_of(field) for field in schema]
    for index in range(batch.num_rows):
        try:
            values = [read(column[index]) for read, column in zip(readers, batch.columns, strict=True)]
        except UnicodeDecodeError:
            yield None
            continue
        yield dict(zip(names, values, strict=True))


def _reader_of(field: pyarrow.Field) -> Callable:
    """The function that makes a value of a column's cell, a `pyarrow.Scalar`. It may raise UnicodeDecodeError.

    No other failure can happen to text, and a column that is not read may hold anything.
    """
    convert = _converter(field.type, field.metadata)

    def read(cell: pyarrow.Scalar):
        try:
            return convert(cell.as_py(maps_as_pydicts="strict"))
        except UnicodeDecodeError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError, NotImplementedError):
            return None

    return read


def _converter(kind: pyarrow.DataType, metadata: dict | None) -> Callable:
    """The function from a value of this type, as pyarrow returns it, to what it stands for."""
    name = getattr(kind, "extension_name", None) or (metadata or {}).get(b"ARROW:extension:name", b"").decode()
    if name == "arrow.json":
        return _decoded
    kind = getattr(kind, "storage_type", kind)
    if types.is_struct(kind):
        inner = {field.name: _converter(field.type, field.metadata) for field in kind}
        return lambda value: value and {k: inner[k](v) for k, v in value.items() if v is not None}
    if types.is_map(kind):
        item = _converter(kind.item_type, kind.item_field.metadata)
        return lambda value: value and {k: item(v) for k, v in value.items()}
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        item = _converter(kind.value_type, kind.value_field.metadata)
        return lambda value: value and [item(each) for each in value]
    return lambda value: value


def _decoded(text: str | None):
    """The value of JSON text; the text itself if it is not JSON."""
    try:
        return text if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return text
