"""The short runs of all stages that the benchmark of a GPU makes, and what becomes of those that fail."""

import json
from dataclasses import asdict

import pytest

from model.errors import SproutError
from scripts.benchmark.gpu import stage_files, stage_runs, stages
from scripts.benchmark.gpu.session import ROOT
from scripts.benchmark.gpu.sizes import CARD, REHEARSAL
from scripts.benchmark.gpu.stage_list import StageRun
from scripts.benchmark.gpu.stage_list import stage_runs as listed
from tests.scripts.benchmark_gpu.support import session


def test_every_script_that_trains_a_network_is_run_with_all_that_computes_otherwise():
    runs = listed(CARD)
    assert len({run.name for run in runs}) == len(runs)
    scripts = {path.name for path in ROOT.glob("train_*.py")} - {"train_tokenizer.py"}
    assert scripts <= {run.script for run in runs}
    flags = " ".join(f"{run.words} {run.variant}" for run in runs)
    for flag in ("--dtype float16", "--num_experts", "--lora_dropout", "cheap", "compact", "--offload_states"):
        assert flag in flags
    assert "--compile on" in flags and "kto" in flags and sum(run.odd for run in runs) >= 5
    assert " float16" not in " ".join(run.variant for run in listed(REHEARSAL))  # no CPU computes in it


def test_runs_keep_their_order_and_some_have_a_process_for_themselves():
    plain, alone = StageRun("a", "", ""), StageRun("b", "", "", alone=True)
    assert [stages.together(runs) for runs in ([plain, plain, alone], [alone, plain], [plain, plain])] == [2, 1, 2]


def test_an_epoch_ends_with_a_smaller_micro_batch_after_two():
    for rows in range(7, 60):
        batch = stage_runs.odd_batch(rows)
        assert rows // batch == 2 and 0 < rows % batch < batch
    with pytest.raises(SproutError, match="give more data"):
        stage_runs.odd_batch(6)


def test_losses_that_are_not_those_of_a_cpu_are_told():
    assert stages.fault([2.0, 1.01], [2.0, 1.0]) == stages.fault([3.0], None) == ""
    assert stages.fault([2.0, 1.1], [2.0, 1.0]) == "the loss of step 2 is 1.1, and on a CPU in float32 1"
    assert "1 steps, and a CPU 2" in stages.fault([2.0], [2.0, 1.0])
    assert "nan" in stages.fault([2.0], [None])
    assert stages.fault([None, 1.0], None) == "the loss of step 1 is not finite"
    assert stages.fault([None, 1.0], None, skips=True) == "" and stages.fault([1.0, None], None, skips=True)


def test_a_row_has_time_loss_graphs_and_warnings():
    run, found = StageRun("KTO", "", ""), {"seconds": 2, "losses": [0.5], "expected": None, "graphs": 2}
    row = stages.row_of(run, found | {"warnings": ["warning: slow"]})
    assert (row.measure, row.value, row.note) == ("stage: KTO", "ok", "2.0 s, loss 0.5, 2 CUDA graphs; warning: slow")
    row = stages.row_of(run, found | {"losses": [None], "warnings": []})
    assert row.value is None and row.note == "the loss of step 1 is not finite; 2.0 s, 2 CUDA graphs"


def test_after_an_error_that_the_device_does_not_survive_the_process_ends(tmp_path, monkeypatch, capsys):
    (tmp_path / "broken.py").write_text("def main(flags):\n    raise RuntimeError('illegal access')\n")
    run = asdict(StageRun("broken", str(tmp_path / "broken.py"), ""))
    monkeypatch.setattr(stage_files, "make", lambda *things, **named: None)
    for name in ("choose_odd_batches", "draw_nothing"):
        monkeypatch.setattr(stage_runs, name, lambda: None)
    for survives, lines in ((True, 2), (False, 1)):
        monkeypatch.setattr(stage_runs, "answers", lambda device, survives=survives: survives)
        stage_runs.main([run, run], "cpu", str(tmp_path / "out"), {"folder": str(tmp_path), "sample": str(tmp_path)})
        found = list(map(json.loads, capsys.readouterr().out.splitlines()))
        assert [each["ends"] for each in found] == [not survives] * lines
        assert found[0]["error"] == "RuntimeError: illegal access"


def test_a_run_that_ends_the_process_or_does_not_end_costs_only_itself(tmp_path, monkeypatch):
    def fake(name: str, code: str) -> StageRun:
        (tmp_path / f"{name}.py").write_text(f"import os, time\n\ndef main(flags):\n    {code}\n")
        return StageRun(name, str(tmp_path / f"{name}.py"), "")

    real = {run.name: run for run in listed(REHEARSAL)}
    runs = [real["pretraining, an odd end of epochs"], fake("raises", "raise ValueError('no')")]
    runs += [fake("dies", "print('last words'); os._exit(7)")]
    runs += [real["answers of a running batch"], fake("hangs", "time.sleep(600)")]
    monkeypatch.setattr(stages, "stage_runs", lambda sizes: runs)
    monkeypatch.setattr(stages, "EACH", 0.8)  # ten times as long in a rehearsal
    here = session(tmp_path, minutes=5)
    here.texts[0].write_bytes(here.texts[0].read_bytes() * 10)
    here.begin("stages", 100)
    rows = {row.measure.removeprefix("stage: "): row for row in map(here.complete, stages.stages(here))}
    assert [row.value for row in rows.values()] == ["ok", None, None, "ok", None], list(rows.values())
    assert "loss" in rows[runs[0].name].note and rows["raises"].note == "ValueError: no"
    assert "exit code 7" in rows["dies"].note and "last words" in rows["dies"].note
    assert "has not ended within 8 s" in rows["hangs"].note
    assert "ValueError: no" in here.printed.read_text() and "Traceback" in here.printed.read_text()
    # When there is no time left, that is said of each.
    here.limit = 0
    assert {row.note for row in stages.stages(here)} == {"skipped: 0 s are left"}
