"""The table that the benchmark of a GPU prints, and the file that keeps it."""

import json

from scripts.benchmark.gpu import results
from scripts.benchmark.gpu.measurements import memory_rows
from scripts.benchmark.gpu.results import AGAINST, OURS, Record, Row


def as_read(path) -> dict:
    return {(row["measure"], row["side"], row["commit"]): row["value"] for row in json.loads(path.read_text())["rows"]}


def written(path, about: dict, *rows: Row, made=()) -> Record:
    record = Record(path, about)
    record.made.update(made)
    record.rows += rows
    record.write()
    return record


def test_the_table_has_ratios_notes_and_failures():
    rows = [Row("speed", 300.0, "steps/s"), Row("speed", 100.0, "steps/s", AGAINST, note="slow")]
    rows += [Row("speed", 50.0, "", "peer"), Row("broken", None, "GB", note="out of memory")]
    table = results.as_table(rows)
    assert "3.00  peer: 50; --against: slow" in table and "failed" in table and "out of memory" in table
    note = "warning: " + "no CUDA graph of the step can be recorded; " * 3
    table = results.as_table([Row("speed", 1.0, note=note), Row("memory", 2.0, note=note)]).split("\n")
    assert [line.endswith("  [1]") for line in table[1:3]] == [True, True] and table[3:] == [f"[1] {note}"]


def test_the_file_keeps_what_is_not_measured_again(tmp_path):
    path, about = tmp_path / "gpu.json", {"card": 1, "commit": "new"}
    ours, against = Row("speed", 300.0, commit="new"), Row("speed", 100.0, "", AGAINST, commit="old")
    written(path, about | {"against": "old"}, ours, against, Row("part", None, measurement="part"), made=["part"])
    assert json.loads(path.read_text())["failed"] == {"part": ""}
    # A call without --against keeps those rows, and one against another commit tells them apart.
    written(path, about, Row("speed", 400.0, commit="new"))
    written(path, about | {"against": "older"}, Row("speed", 50.0, "", AGAINST, commit="older"))
    kept = {("speed", OURS, "new"): 400, ("speed", AGAINST, "old"): 100, ("speed", AGAINST, "older"): 50}
    assert as_read(path) == kept | {("part", OURS, ""): None}
    # What failed goes when its measurement is made again; what was measured stays when it fails the next time.
    written(path, about, Row("speed", None, commit="new"), Row("part 1", 1.0), made=["part"])
    found = json.loads(path.read_text())["rows"]
    assert [row["value"] for row in found] == [100, 400, 50, None, 1.0]
    assert [row["measure"] for row in found] == ["speed"] * 4 + ["part 1"]


def test_the_file_of_another_card_or_a_damaged_one_is_moved_beside(tmp_path):
    path = tmp_path / "gpu.json"
    written(path, {"card": 1}, Row("speed", 1.0))
    record = written(path, {"card": 2}, Row("speed", 2.0))
    assert record.moved == tmp_path / "gpu_1.json" and list(as_read(record.moved).values()) == [1.0]
    path.write_text("{")
    assert written(path, {"card": 2}).moved == tmp_path / "gpu_2.json" and as_read(path) == {}


def test_a_run_of_memory_tells_both_peaks_beside_its_plan():
    found = {"said": 2**31, "allocated": 2**30, "reserved": 2**32, "left": 2**30, "warnings": ["warning: slow"]}
    rows = list(memory_rows("tiny, memory, 8 rows, muon", found))
    assert [(row.measure.split(": ")[1], row.value, row.side) for row in rows] == [
        ("allocated", 1.0, OURS),
        ("reserved", 4.0, OURS),
        ("allocated", 2.0, "plan"),
    ]
    assert rows[0].note == "plan +100 %; 1.00 GB were left from the run before; warning: slow"
    (row,) = memory_rows("x", {"error": "OutOfMemoryError: 3 GB", "warnings": []})
    assert row.value is None and row.note == "OutOfMemoryError: 3 GB"
