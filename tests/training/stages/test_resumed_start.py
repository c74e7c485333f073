"""`--resume` where the weight that the run began with is gone, or is another one now."""

import argparse
import signal

import pytest

from model.files.checkpoint import save_checkpoint
from tests.stages.workshop import Workshop, assert_same_run, signal_at
from training.engine.machine import Interrupted
from training.engine.step import Step
from training.stages.resumed_start import as_it_began

GONE = "--resume: the run began with {}, which is not here any more: put it back, or name its file by --from_weight"
CALL = {"full_sft": "learn", "dpo": "update", "lora": "learn"}


def stopped(folder, stage: str) -> tuple[Workshop, str]:
    """A run from start.pth that was stopped in step 3 of 4, and what its flags call that weight."""
    workshop = Workshop.create(folder, stage)
    number = 3 * 2 - 1 if CALL[stage] == "learn" else 3  # two micro-batches a step
    with signal_at(Step, CALL[stage], call=number, number=signal.SIGTERM), pytest.raises(Interrupted):
        workshop.train("out", "--max_steps=4")
    return workshop, str(folder / "start.pth")


def test_a_run_whose_state_has_every_parameter_goes_on_without_it(tmp_path):
    workshop, start = stopped(tmp_path, "full_sft")
    whole = workshop.train("whole", "--max_steps=4")
    (tmp_path / "start.pth").unlink()
    assert_same_run(workshop.train("out", "--max_steps=4", "--resume"), whole)
    code, said = workshop.fails("another", "--max_steps=4", "--resume")
    assert code == 2 and f"{start} does not exist" in said and "the run began" not in said  # there is no such run


@pytest.mark.parametrize("stage", ["dpo", "lora"])
def test_where_it_is_needed_that_is_said(tmp_path, stage):
    workshop, start = stopped(tmp_path, stage)
    (tmp_path / "start.pth").rename(tmp_path / "moved.pth")
    code, said = workshop.fails("out", "--max_steps=4", "--resume")
    assert code == 2 and GONE.format(start) in said


@pytest.mark.parametrize("stage, name", [("dpo", "data.reference"), ("lora", "lora.base")])
def test_another_network_under_its_name_is_named_by_the_flag(tmp_path, stage, name):
    workshop, start = stopped(tmp_path, stage)
    (tmp_path / "out" / "earlier").mkdir()
    Workshop(tmp_path, "pretrain").train("again", "--max_steps=1")
    (tmp_path / "again" / "pretrain_32.pth").replace(start)
    code, said = workshop.fails("out", "--max_steps=4", "--resume")
    where = f" (what a later training replaced is in {tmp_path / 'out' / 'earlier'})"
    words = f"{name} was another network than the one that --from_weight names now: name the one of then{where}"
    assert code == 2 and words in said


@pytest.mark.parametrize("name", ["dpo", "lr[1e-3]"])
def test_the_network_that_a_run_moved_aside_is_found_whatever_its_name(tmp_path, name):
    """Brackets mean something where names of files are looked for."""
    moved = tmp_path / "earlier" / f"{name}_32_2026" / f"{name}_32.pth"
    save_checkpoint(moved, {"step": 1})
    save_checkpoint(tmp_path / f"{name}_32_resume.pth", {"identity": {"data": {"reference": "live, of 1"}}})
    args = argparse.Namespace(resume=True, out_dir=str(tmp_path), weight_name=name, rope_scaling_factor=None)
    assert as_it_began(str(tmp_path / f"{name}_32.pth"), args) == str(moved)
