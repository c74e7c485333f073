"""Which records share a row: sequence packing of records of many lengths into rows of one length."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Packing:
    """Which records share a row: `len()` rows, and `packing[row]` are the numbers of the records in it."""

    records: np.ndarray  # int32 or int64 [records], row by row
    starts: np.ndarray  # int64 [rows + 1]: row r has records[starts[r] : starts[r + 1]]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        if not 0 <= row < len(self):
            raise IndexError(f"there are {len(self)} rows, and no row {row}")
        return self.records[self.starts[row] : self.starts[row + 1]]

    def renumbered(self, numbers: np.ndarray) -> "Packing":
        """The same rows, where record i is called `numbers[i]`."""
        return Packing(numbers[self.records], self.starts)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))


def pack(lengths: np.ndarray, capacity: int) -> Packing:
    """Put every record into exactly one row: best fit decreasing, a function of its arguments alone.

    lengths: integers [records], each 1 to `capacity`, which a row's records add up to at most. The longest record
    comes first, and each goes where it leaves the least room (Johnson 1973: at most 11/9 as many rows as the fewest
    possible, and with many short records hardly more than those).

    Records of one length are placed together, and so are the rows with equally much room left. Each of these rows
    takes as many of the records as fit, since after the first it has less room than any other row they fit into.
    The work is then for pairs of a length and a room, not for records. Raises ValueError for other lengths.
    """
    lengths = np.asarray(lengths)
    if lengths.size and not 1 <= lengths.min() <= lengths.max() <= capacity:
        raise ValueError(f"a length lies outside 1..{capacity}")
    number = np.int32 if lengths.size < 2**31 else np.int64
    longest_first = np.argsort(-lengths.astype(np.int64), kind="stable").astype(number)
    row_of = np.empty(lengths.size, number)  # the row of each record, in that order
    values, counts = np.unique(lengths, return_counts=True)
    with_room: dict[int, list[np.ndarray]] = {}  # the rows with so much room left, in pieces; no entry is empty
    rooms: list[int] = []  # the keys of `with_room`, sorted

    def give_back(rows: np.ndarray, room: int) -> None:
        if room and rows.size:
            if room not in with_room:
                with_room[room] = []
                insort(rooms, room)
            with_room[room].append(rows)

    placed = rows_begun = 0
    for length, left in zip(values[::-1].tolist(), counts[::-1].tolist()):
        while left:
            place = bisect_left(rooms, length)
            if place < len(rooms):
                room = rooms.pop(place)
                rows = np.concatenate(with_room.pop(room))
            else:
                room = capacity
                rows = np.arange(rows_begun, rows_begun + -(-left // (capacity // length)), dtype=number)
                rows_begun += rows.size
            fit = room // length
            full = min(left // fit, rows.size)  # rows that take as many as fit
            last = min(left - full * fit, fit) if full < rows.size else 0  # the next one takes the rest
            taken = full * fit + last
            row_of[placed : placed + full * fit] = np.repeat(rows[:full], fit)
            row_of[placed + full * fit : placed + taken] = rows[full : full + 1]
            give_back(rows[:full], room - fit * length)
            if last:
                give_back(rows[full : full + 1], room - last * length)
                full += 1
            give_back(rows[full:], room)
            placed += taken
            left -= taken
    by_row = np.argsort(row_of, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(row_of))])
    return Packing(longest_first[by_row], starts.astype(np.int64))
