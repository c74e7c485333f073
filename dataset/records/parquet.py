"""The rows of a parquet file, in flat memory. Loaded for such files only: pyarrow is slow to import."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet

from dataset.records.arrow import reader_of
from model.errors import SproutError


def parquet_rows(path: str, progress: Callable[[int], None] | None) -> Iterator[tuple[int, dict | None]]:
    """(number of the row, counted from 1; its values by name in lower case, or None where one is not UTF-8).

    `progress` as in `reading.read_records`. Raises SproutError for a file that is not a whole parquet file.
    """
    number = 0
    try:
        # pre_buffer would hold a whole row group (often hundreds of MB) in memory.
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
            size = Path(path).stat().st_size
            readers = [reader_of(field) for field in file.schema_arrow]
            for batch in file.iter_batches(batch_size=128):
                if progress:
                    progress(size * number // max(file.metadata.num_rows, 1))
                names = [name.lower() for name in batch.schema.names]
                for index in range(batch.num_rows):
                    number += 1
                    try:
                        values = [read(column[index]) for read, column in zip(readers, batch.columns, strict=True)]
                    except UnicodeDecodeError:
                        yield number, None
                        continue
                    yield number, dict(zip(names, values, strict=True))
    except (pyarrow.ArrowException, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise SproutError(
            f"{path}:{number + 1}: cannot be read as parquet ({reason}): is the file whole, and of that kind?"
        ) from error
