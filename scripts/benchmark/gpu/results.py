"""What was measured: rows of one table, and the same as JSON, written after every row."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from model.disk import write_atomically
from scripts.benchmark.program import run_program

OURS, AGAINST = "this checkout", "--against"
LONG = 60  # characters of a note that no longer stands in a line of the table
OF_A_CALL = ("against", "minimind", "rehearsal")  # facts of one call: rows of calls that differ in them belong together


@dataclass(frozen=True)
class Row:
    """One figure. `side`: whose it is; `value`: a number, a word such as "equal", or None where it failed.

    measurement: the name for --only. commit: what was measured, a commit of the side's checkout or a version.
    """

    measure: str
    value: float | str | None
    unit: str = ""
    side: str = OURS
    note: str = ""
    measurement: str = ""
    commit: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.measure, self.side, self.commit


class Record:
    """The rows of this call and, in `path`, also those of earlier calls on the same card, torch and commit.

    A file of another card or commit is moved beside, and `moved` says where.
    """

    def __init__(self, path: Path, about: dict):
        self.path, self.about, self.moved = path, about, None
        self.rows: list[Row] = []
        self.skipped: list[str] = []
        self.made: set[str] = set()  # names of the measurements of this call that were begun
        self._earlier: list[Row] = []
        self._skipped_earlier: list[str] = []
        if path.exists():
            self._join()

    def _join(self) -> None:
        try:
            before = json.loads(self.path.read_text(encoding="utf-8"))
            if _comparable(before["about"]) == _comparable(self.about):
                self._earlier, self._skipped_earlier = [Row(**row) for row in before["rows"]], before["skipped"]
                return
        except (ValueError, KeyError, TypeError):  # a damaged file, or one of another form, is kept as it is
            pass
        names = (self.path.with_name(f"{self.path.stem}_{number}{self.path.suffix}") for number in range(1, 10_000))
        self.moved = next(name for name in names if not name.exists())
        self.path.rename(self.moved)

    def failed(self) -> dict[str, str]:
        """What failed in this call, with the reason."""
        return _failed(self.rows)

    def write(self) -> None:
        """Writes everything, whole or not at all. Raises `SproutError` if the disk is full."""
        rows = self._kept() + self.rows
        skipped = [name for name in self._skipped_earlier if name not in self.made]
        skipped = list(dict.fromkeys(skipped + self.skipped))
        contents = {"about": self.about, "rows": list(map(asdict, rows)), "skipped": skipped, "failed": _failed(rows)}
        text = json.dumps(contents, indent=2, ensure_ascii=False) + "\n"
        write_atomically(self.path, lambda file: file.write(text.encode()))

    def _kept(self) -> list[Row]:
        """Earlier figures that are not measured anew; what has failed is gone once its measurement is made again."""
        new = {row.key for row in self.rows if row.value is not None}
        return [
            r for r in self._earlier if r.key not in new and (r.value is not None or r.measurement not in self.made)
        ]


def _comparable(about: dict) -> dict:
    return {name: value for name, value in about.items() if name not in OF_A_CALL}


def _failed(rows: Iterable[Row]) -> dict[str, str]:
    return {row.measure + ("" if row.side == OURS else f" ({row.side})"): row.note for row in rows if row.value is None}


def as_table(rows: list[Row]) -> str:
    """A line for each measure: ours, that of --against and their ratio, then everybody else's and the notes. Long notes
    stand below the table, each once."""
    lines = [f"{'measure':66} {'unit':12} {'ours':>12} {'against':>12} {'ratio':>7}  others and notes"]
    below: dict[str, int] = {}  # the long notes and their numbers
    for measure in dict.fromkeys(row.measure for row in rows):
        found = {row.side: row for row in rows if row.measure == measure}
        ours, against = (found[side].value if side in found else "" for side in (OURS, AGAINST))
        numbers = all(isinstance(value, int | float) for value in (ours, against))
        ratio = f"{ours / against:.2f}" if numbers and against else ""
        others = [f"{side}: {shown(row.value)}" for side, row in found.items() if side not in (OURS, AGAINST)]
        notes = [row.note if side == OURS else f"{side}: {row.note}" for side, row in found.items() if row.note]
        notes = [note if len(note) <= LONG else f"[{below.setdefault(note, len(below) + 1)}]" for note in notes]
        unit, rest = next(iter(found.values())).unit, "; ".join(others + notes)
        lines.append(f"{measure:66} {unit:12} {shown(ours):>12} {shown(against):>12} {ratio:>7}  {rest}".rstrip())
    return "\n".join(lines + [f"[{number}] {note}" for note, number in below.items()])


def shown(value) -> str:
    if value is None:
        return "failed"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    run_program(__doc__)
