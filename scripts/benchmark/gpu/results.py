"""What was measured: rows of one table, and the same as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.benchmark.program import run_program

OURS, AGAINST = "this checkout", "--against"


@dataclass(frozen=True)
class Row:
    """One figure. `side`: whose it is; `value`: a number, a word such as "equal", or None where it failed."""

    measure: str
    value: float | str | None
    unit: str = ""
    side: str = OURS
    note: str = ""


def as_table(rows: list[Row]) -> str:
    """A line for each measure: ours, that of --against and their ratio, then everybody else's and the notes."""
    lines = [f"{'measure':56} {'unit':12} {'ours':>12} {'against':>12} {'ratio':>7}  others and notes"]
    for measure in dict.fromkeys(row.measure for row in rows):
        found = {row.side: row for row in rows if row.measure == measure}
        ours, against = (found[side].value if side in found else "" for side in (OURS, AGAINST))
        numbers = all(isinstance(value, int | float) for value in (ours, against))
        ratio = f"{ours / against:.2f}" if numbers and against else ""
        others = [f"{side}: {_shown(row.value)}" for side, row in found.items() if side not in (OURS, AGAINST)]
        others += [row.note for row in found.values() if row.note]
        unit = next(iter(found.values())).unit
        lines.append(
            f"{measure:56} {unit:12} {_shown(ours):>12} {_shown(against):>12} {ratio:>7}  {'; '.join(others)}".rstrip()
        )
    return "\n".join(lines)


def _shown(value) -> str:
    if value is None:
        return "failed"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def write(path: Path, about: dict, rows: list[Row], skipped: list[str], failed: dict[str, str]) -> None:
    """Writes everything as JSON. Figures of an earlier call on the same card, torch and commit stay beside the new."""
    kept = []
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        new = {(row.measure, row.side) for row in rows}
        if before["about"] == about:
            kept = [row for row in before["rows"] if (row["measure"], row["side"]) not in new]
    contents = {"about": about, "rows": kept + list(map(asdict, rows)), "skipped": skipped, "failed": failed}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(contents, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_program(__doc__)
