"""Rows of cells as lines of text, with every column as wide as its widest cell."""

from collections.abc import Collection, Sequence
from functools import partial

from inference.folding import width_of

_width = partial(width_of, ambiguous=1)  # as most fonts have it, since what stands in columns cannot keep clear of both


def in_columns(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """A line for each row; all rows have equally many cells.

    left: the columns whose cells stand on the left, as words do; those of the others stand on the right, as numbers do.
    """
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [_padded(cell, width, i in left) for i, (cell, width) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines


def _padded(text: str, width: int, left: bool) -> str:
    blanks = " " * (width - _width(text))
    return text + blanks if left else blanks + text
