"""Whole calls of the benchmark of a GPU, as far as a machine without one can show them."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from model.errors import UsageError
from scripts.benchmark import command
from scripts.benchmark.gpu import measure
from scripts.benchmark.gpu.measurements import Measurement, all_measurements
from scripts.benchmark.gpu.results import AGAINST, OURS, Record, Row
from scripts.benchmark.gpu.session import ROOT
from tests.scripts.benchmark_gpu.support import session


def test_measurements_are_chosen_by_the_beginning_of_their_names(tmp_path):
    every = all_measurements(session(tmp_path), with_quickstart=True)
    assert len({each.name for each in every}) == len(every)
    assert [each.name for each in measure.pick(every, ["decoding", "quick"])] == [
        "decoding bfloat16 1",
        "decoding float32 2",
        "quickstart",
    ]
    with pytest.raises(UsageError, match="there are own plan"):
        measure.pick(every, ["nothing"])
    with pytest.raises(UsageError, match="--only nothing"):  # before anything is started
        command.main(["gpu", "--only", "nothing", "--out_dir", str(tmp_path)])


@pytest.fixture
def with_measurements(monkeypatch):
    """Lets a call make these measurements alone, beside the product of the rehearsal."""

    def let(*measurements: Measurement) -> None:
        monkeypatch.setattr(measure, "all_measurements", lambda *_: list(measurements))

    return let


def test_what_nobody_expected_ends_one_measurement_and_not_the_call(tmp_path, capsys, with_measurements):
    def breaks(session):
        yield Row("before it", 1.0)
        raise KeyError("content")

    def one_side(session):
        def rows_of(side):
            if side == OURS:
                raise FileNotFoundError("no file")
            yield Row("speed", 2.0, "", side)

        yield from session.sides("speed", "", rows_of)

    def warns(session):
        session.run(["-c", "print('warning: no CUDA graph of the step can be recorded'); print('done')"])
        yield Row("slow", 3.0)

    names = {"breaks": breaks, "one side": one_side, "warns": warns}
    with_measurements(*(Measurement(name, 1, 20, make) for name, make in names.items()))
    command.main(["gpu", "--rehearse", "--against", str(ROOT), "--out_dir", str(tmp_path)])
    printed, found = capsys.readouterr().out, json.loads((tmp_path / "gpu.json").read_text())
    rows = {(row["measure"], row["side"]): row for row in found["rows"]}
    assert found["failed"] == {"breaks": "KeyError: 'content'", "speed": "FileNotFoundError: no file"}
    assert "failed: breaks: KeyError: 'content'" in printed
    assert rows["before it", OURS]["value"] == 1 and rows["speed", AGAINST]["value"] == 2
    assert rows["speed", AGAINST]["measurement"] == "one side" and rows["speed", AGAINST]["commit"]
    assert rows["slow", OURS]["note"] == "warning: no CUDA graph of the step can be recorded"
    folder = tmp_path / "gpu" / "printed"
    assert "done" in (folder / "warns.txt").read_text() and "Traceback" in (folder / "breaks.txt").read_text()


def test_a_signal_leaves_what_was_measured_and_the_table(tmp_path, capsys, with_measurements):
    def stopped(session):
        yield Row("measured", 1.0)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    with_measurements(Measurement("stopped", 1, 20, stopped), Measurement("never", 1, 20, stopped))
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(SystemExit) as ended:
        command.main(["gpu", "--rehearse", "--out_dir", str(tmp_path)])
    assert json.loads((tmp_path / "gpu.json").read_text())["skipped"] == ["never"]
    assert ended.value.code == 143 and handlers == [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    assert ("measured", 1.0) in [
        (r["measure"], r["value"]) for r in json.loads((tmp_path / "gpu.json").read_text())["rows"]
    ]
    assert "stopped by a signal in stopped" in (printed := capsys.readouterr().out) and "others and notes" in printed


def test_each_side_has_a_limit_of_its_own(tmp_path):
    here, limits = session(tmp_path, against=str(ROOT), minutes=10), []

    def rows_of(side):
        limits.append(here.limit - time.monotonic())
        here.limit -= 9  # seconds that it takes
        yield Row("speed", 1.0, "", side)

    here.begin("speed", 10)
    assert len(list(here.sides("speed", "", rows_of))) == 2
    assert min(limits) == pytest.approx(max(limits), abs=8)


def test_nothing_is_begun_that_cannot_end_and_that_is_said(tmp_path, with_measurements):
    on_a_card = session(tmp_path, rehearse=False, against=str(ROOT))
    least = {each.name: each.least for each in all_measurements(on_a_card, with_quickstart=True)}
    compiled = ("own plan", "26m 64x512", "fine-tuning", "bits", "checks", "own plan compiled", "1b 8x1024")
    assert min(least[name] for name in compiled) >= 60
    record = Record(tmp_path / "gpu.json", {})
    measure.make(Measurement("long", 61, 100, lambda session: 1 / 0), on_a_card, record)
    assert record.skipped == ["long"] and not record.made
    # The other side is not begun either.
    on_a_card.begin("speed", 10, least=50)

    def rows_of(side):
        on_a_card.ends -= 20
        yield Row("speed", 1.0, "", side)

    here, other = on_a_card.sides("speed", "", rows_of)
    assert here.value == 1 and other.value is None
    assert re.fullmatch("skipped: it needs 50 s, and [1-3][0-9] s are left", other.note)  # 35 on an idle machine


def test_the_call_itself_does_not_read_pytorch():
    code = "import sys, scripts.benchmark.gpu.measure; sys.exit('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
    )  # from a cold disk that takes a minute


def test_one_measurement_from_end_to_end(tmp_path, capsys):
    words = ["gpu", "--rehearse", "--only", "decoding float32", "--out_dir", str(tmp_path)]
    command.main(words)
    printed, found = capsys.readouterr().out, json.loads((tmp_path / "gpu.json").read_text())
    assert "decoding, float32, 2 at once: again, its second half" in printed
    assert found["about"]["rehearsal"] and found["about"]["torch"] and len(found["about"]["commit"]) >= 7
    assert [row["value"] > 0 for row in found["rows"]] == [True] * 5 and not found["failed"]


def test_without_a_gpu_it_says_so_and_without_an_answer_it_says_that(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UsageError, match="there is no CUDA GPU to measure"):
        command.main(["gpu", "--out_dir", str(tmp_path)])
    monkeypatch.setattr(measure, "FIRST", 0.01)
    with pytest.raises(UsageError, match="imports PyTorch and looks for the GPU, has not answered"):
        command.main(["gpu", "--out_dir", str(tmp_path)])
