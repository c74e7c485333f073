"""The benchmark of a GPU, as far as a machine without one can show it."""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from model.errors import UsageError
from scripts.benchmark import command
from scripts.benchmark.gpu import measure, minimind, results
from scripts.benchmark.gpu.bits import first_difference
from scripts.benchmark.gpu.measurements import all_measurements, large_tokenizer
from scripts.benchmark.gpu.programs import Failed, Program
from scripts.benchmark.gpu.rates import run_rate
from scripts.benchmark.gpu.results import AGAINST, Row
from scripts.benchmark.gpu.session import Session
from tests.stages.workshop import write_chats, write_texts


def soon(seconds: float = 30) -> float:
    return time.monotonic() + seconds


def session(tmp_path, **changes) -> Session:
    files = [write_texts(tmp_path / "texts.jsonl", 5, seed=0), write_chats(tmp_path / "chats.jsonl", 5, seed=0)]
    values = {
        "out_dir": tmp_path,
        "against": None,
        "minimind": None,
        "minutes": 1,
        "rehearse": True,
        "data_path": files,
    }
    return Session(SimpleNamespace(**values | changes))


# --- programs from outside --------------------------------------------------------------------------


def test_a_program_that_fails_says_why_and_one_without_time_is_ended(tmp_path):
    with Program(["-c", "print('first'); raise ValueError('no')"], tmp_path, tmp_path / "out", soon()) as program:
        with pytest.raises(Failed, match="exit code 1: .*ValueError: no"):
            program.wait()
    with Program(["-c", "import time; time.sleep(60)"], tmp_path, tmp_path / "out", soon(0.2)) as program:
        with pytest.raises(Failed, match="no time left"):
            program.wait()
    assert program._process.returncode


FAKE_STAGE = """
import json, pathlib, sys, time
out = pathlib.Path(sys.argv[sys.argv.index("--out_dir") + 1])
(out / "logs" / "fake").mkdir(parents=True)
with open(out / "logs" / "fake" / "metrics.jsonl", "w") as file:
    for step in range(1, int(sys.argv[1]) + 1):
        line = {"step": step, "tokens": 100 * step, "time": {"seconds": 0.01, "memory": 7}}
        print(json.dumps(line), file=file, flush=True)
        time.sleep(0.02)
"""


def test_the_rate_of_a_run_is_that_of_its_lines(tmp_path):
    (tmp_path / "fake.py").write_text(FAKE_STAGE)
    rate = run_rate(tmp_path, tmp_path / "out", "fake.py", [100000], 3, 10, soon())
    assert rate.steps > 0 and rate.tokens == pytest.approx(100 * rate.steps)
    assert (rate.memory, rate.within_steps) == (7, 0.01) and rate.first > 0
    with pytest.raises(Failed, match="had only 5 steps"):
        run_rate(tmp_path, tmp_path / "out", "fake.py", [5], 3, 10, soon())


def test_the_first_step_that_differs_is_named():
    lines = [{"step": step, "loss": 1 / step, "grad_norm": 1.0} for step in (1, 2, 3)]
    assert first_difference(lines, lines[:2]) == "equal"
    assert first_difference(lines, [lines[0], lines[1] | {"loss": 0.5000001}]) == "differ at step 2"
    with pytest.raises(Failed):
        first_difference([], lines)


# --- files ------------------------------------------------------------------------------------------


def test_files_are_told_apart_and_minimind_gets_them_in_its_form(tmp_path):
    here = session(tmp_path)
    assert [path.name for path in (*here.texts, *here.chats)] == ["texts.jsonl", "chats.jsonl"]
    with pytest.raises(UsageError, match=r"are \.jsonl"):
        session(tmp_path, data_path=["x.parquet"])
    sys.path.insert(0, str(minimind.STAND_IN))
    try:
        sys.modules.pop("datasets", None)
        import datasets

        assert Path(datasets.__file__).parent == minimind.STAND_IN
        chats = datasets.load_dataset(
            "json", data_files=minimind.its_data(here.chats, tmp_path, most=20), split="train"
        )
    finally:
        sys.path.remove(str(minimind.STAND_IN))
        sys.modules.pop("datasets", None)
    assert len(chats) == 20  # copies, so that it does not end too soon
    assert set(chats[0]["conversations"][0]) == {"role", "content", "reasoning_content", "tools", "tool_calls"}


def test_a_large_vocabulary_tokenises_like_the_shipped_one(tmp_path):
    from model.text.tokenizer import Tokenizer

    large, shipped = Tokenizer.load(large_tokenizer(session(tmp_path), 7000)), Tokenizer.load()
    assert large.vocab_size == 7000
    assert large.encode("新芽 grows") == shipped.encode("新芽 grows")


# --- the table --------------------------------------------------------------------------------------


def test_the_table_has_ratios_and_the_file_keeps_what_is_not_measured_again(tmp_path):
    rows = [Row("speed", 300.0, "steps/s"), Row("speed", 100.0, "steps/s", AGAINST), Row("speed", 50.0, "", "peer")]
    rows += [Row("broken", None, "GB", note="out of memory")]
    table = results.as_table(rows)
    assert "3.00  peer: 50" in table and "failed" in table and "out of memory" in table
    path = tmp_path / "gpu.json"
    results.write(path, {"card": 1}, rows, ["later"], {})
    results.write(path, {"card": 1}, [Row("speed", 400.0)], [], {})
    found = {(row["measure"], row["side"]): row["value"] for row in json.loads(path.read_text())["rows"]}
    assert found["speed", "this checkout"] == 400 and found["speed", AGAINST] == 100 and "broken" in table
    results.write(path, {"card": 2}, [Row("speed", 1.0)], [], {})
    assert len(json.loads(path.read_text())["rows"]) == 1


def test_measurements_are_chosen_by_the_beginning_of_their_names(tmp_path):
    every = all_measurements(session(tmp_path), with_quickstart=True)
    assert len({each.name for each in every}) == len(every)
    assert [each.name for each in measure.pick(every, ["own plan", "quick"])] == [
        "own plan",
        "own plan compiled",
        "quickstart",
    ]
    with pytest.raises(UsageError, match="there are own plan"):
        measure.pick(every, ["nothing"])


def test_one_measurement_from_end_to_end(tmp_path, capsys):
    words = ["gpu", "--rehearse", "--only", "decoding float32", "--out_dir", str(tmp_path)]
    command.main(words)
    printed, found = capsys.readouterr().out, json.loads((tmp_path / "gpu.json").read_text())
    assert "decoding, float32, 2 at once: again" in printed
    assert found["about"]["rehearsal"] and found["about"]["torch"] and len(found["about"]["commit"]) >= 7
    assert [row["value"] > 0 for row in found["rows"]] == [True] * 3 and not found["failed"]


def test_without_a_gpu_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UsageError, match="no CUDA GPU to measure"):
        command.main(["gpu", "--out_dir", str(tmp_path)])
