"""Whether a file of conversations is read as by the first version of Sprout, so that its earlier caches stay valid.

The second version follows marks such as `"weight": 0` and calls named `function_call`, keeps prompts that answers go on
from, and leaves out the nulls of Arrow. Files without any of these give the same tokens as before; the others have a
version in the key of their cache. Whatever else is read differently one day is to be added here.
"""

import re
from pathlib import Path

from dataset.records.reading import SAVED, TABLES, bytes_of, check_file, files_of

NAMES = "weight|loss|loss_mask|train|training|label|masked?|train_detail|training_detail|loss_scale|loss_weight"
NEW = re.compile(rb'"(?:%s|function_call|functions)"\s*:|:\s*null|"prompt"\s*:\s*\[' % NAMES.encode(), re.IGNORECASE)
OVERLAP = 64  # bytes, longer than any of these


def reading_version(path: str | Path) -> dict[str, int]:
    """What the key of the file's cache has besides: nothing, or the version of the reading."""
    file_type = check_file(path)
    if file_type in (*TABLES, SAVED):
        is_new = file_type != ".parquet" or _has_columns(path)
    else:
        is_new = any(NEW.search(part) for file in files_of(path) for part in _parts(file))
    return {"reading": 2} if is_new else {}


def _parts(path: Path):
    """The file's bytes in parts that overlap, so that nothing is cut in two."""
    before = b""
    for block in bytes_of(path):
        yield before + block
        before = block[-OVERLAP:]


def _has_columns(path: str | Path) -> bool:
    """Whether a parquet file has nested columns, or one with such a name."""
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError):  # it is reported where the file is read
        return False
    return any(
        pyarrow.types.is_nested(field.type) or re.fullmatch(f"{NAMES}|functions", field.name, re.IGNORECASE)
        for field in schema
    )
