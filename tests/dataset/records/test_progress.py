"""Progress that also shows where nobody watches a terminal."""

import io

from dataset.records import reading


def test_in_a_log_file_there_is_a_line_now_and_then(monkeypatch):
    clock, log = [0.0], io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    monkeypatch.setattr("tqdm.std.time", lambda: clock[0])
    bar = reading.bar_over(100, "counting", " rows")
    bar._time = lambda: clock[0]
    for _ in range(50):
        clock[0] += 1
        bar.update(1)
    bar.close()
    lines = [line.strip() for line in log.getvalue().splitlines() if line.strip()]
    assert 3 <= len(lines) <= 6 and all(line.startswith("counting: ") for line in lines)
    assert lines[0].split(" % of 100 rows, ")[0] in ("counting: 10", "counting: 11")
