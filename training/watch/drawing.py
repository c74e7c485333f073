"""Text on a terminal, and a curve of braille dots.

Lines are made of ASCII and braille alone. Box-drawing signs take two columns in many Chinese terminals, and would break
the frame there (https://www.unicode.org/reports/tr11: their width is ambiguous).
"""

import unicodedata
from collections.abc import Sequence

from inference.folding import columns_of, width_of
from model.errors import on_one_line

# The bits of the dots in a braille sign, by column and row from above (U+2800 and on).
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
EMPTY = 0x2800


def harmless(text: str, most: int = 4000) -> str:
    """A text that a network wrote, on one line, so that it can neither steer the terminal nor turn a line around."""
    text = on_one_line(" ".join(text[:most].split()))
    return "".join(one for one in text if unicodedata.category(one) not in ("Cf", "Co", "Cn"))


def cut(text: str, width: int) -> str:
    """As much of the text as takes at most `width` columns; three dots stand for the rest."""
    if width_of(text) <= width:
        return text
    room, kept = width - 3, []
    for character in text:
        room -= columns_of(character)
        if room < 0:
            break
        kept.append(character)
    return ("".join(kept) + "...")[: max(0, width)]


def wrapped(text: str, width: int, most: int) -> list[str]:
    """The text on at most `most` lines of `width` columns, broken at spaces where there are any."""
    lines = []
    while text and len(lines) < most - 1 and width_of(text) > width:
        end, room = 0, width
        while room >= (columns := columns_of(text[end])):
            room -= columns
            end += 1
        space = text.rfind(" ", 0, end + 1)
        end = space if space > end // 2 else max(1, end)
        lines.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return [*lines, cut(text, width)] if text and most > 0 else lines


def curve(
    points: Sequence[tuple[int, float]],
    marks: Sequence[tuple[int, float]],
    width: int,
    height: int,
    braille: bool = True,
) -> list[str]:
    """`height` lines of `width` columns: (step, value) as a line of dots, `marks` as an o each, and their scales.

    Both are in the order of their steps. In ASCII (not `braille`) the dots are stars.
    """
    values = [value for _, value in (*points, *marks)]
    low, high = min(values), max(values)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    first, last = points[0][0], max(points[-1][0], points[0][0] + 1)
    scale = max(len(f"{high:.3g}"), len(f"{low:.3g}"))
    columns, rows = max(1, width - scale - 2), max(1, height - 1)
    across, down = (2, 4) if braille else (1, 1)
    dots = [[0] * columns for _ in range(rows)]

    def place(step: int, value: float) -> tuple[int, int]:
        x = round((step - first) / (last - first) * (columns * across - 1))
        y = round((high - value) / (high - low) * (rows * down - 1))
        return min(max(x, 0), columns * across - 1), y

    below: dict[int, list[int]] = {}
    for step, value in points:
        x, y = place(step, value)
        below.setdefault(x, []).append(y)
    before = None  # (x, y) of the point before, to which each is joined
    for x, found in sorted(below.items()):
        y = round(sum(found) / len(found))
        for column, row in joined(before or (x, y), (x, y)):
            dots[row // down][column // across] |= DOTS[column % across][row % down] if braille else 1
        before = x, y
    signs = [[" " if not dot else chr(EMPTY + dot) if braille else "*" for dot in row] for row in dots]
    for step, value in marks:
        x, y = place(step, value)
        signs[y // down][x // across] = "o"
    names = {0: f"{high:.3g}", rows - 1: f"{low:.3g}"}
    lines = [f"{names.get(row, ''):>{scale}} |" + "".join(signs[row]) for row in range(rows)]
    end = f"step {points[-1][0]:,}"
    return [*lines, f"{'':{scale}} {first:<,}{end:>{max(1, columns + 1 - len(f'{first:,}'))}}"][:height]


def joined(begin: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The dots of a straight line between two of them, both included."""
    (x, y), (last_x, last_y) = begin, end
    count = max(abs(last_x - x), abs(last_y - y), 1)
    return [(x + round((last_x - x) * i / count), y + round((last_y - y) * i / count)) for i in range(count + 1)]
