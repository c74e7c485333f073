"""What is said when the GPU's memory is used up in a step; other signals and divergence are in tests/faults."""

import os
import shutil
import signal

import pytest
import torch
from torch._inductor.exc import CppCompileError

from model.errors import SproutError
from model.files.reading import read_checkpoint
from tests.stages.workshop import Workshop, assert_same_run
from tests.training.support import flags
from training.diagnosis.known import read_description
from training.engine.early_end import without_memory
from training.engine.plan import make_plan
from training.engine.run import Run
from training.engine.step import Step
from training.report.metrics import Metrics

ERROR = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore lines")


@pytest.mark.parametrize("place", ["training.engine.step.forward_backward", "training.engine.update.Updater.update"])
def test_out_of_memory_in_a_step_is_a_sentence_that_names_the_flags(tmp_path, monkeypatch, place):
    def fails(*arguments):
        raise ERROR

    monkeypatch.setattr(place, fails)
    code, said = Workshop.create(tmp_path).fails("out", "--max_steps=2")
    assert code == 1 and said == (
        "error: the GPU's memory is used up (CUDA out of memory. Tried to allocate 2.00 GiB.): give --fit GB, which"
        " chooses a micro-batch for so much memory, or --batch_size 1 --accumulation_steps 4 for the same steps in"
        " smaller parts, or --activation_checkpointing cheap, which takes a little longer, or"
        " --activation_checkpointing layers, which needs least and takes longer; the last checkpoint is intact\n"
    )


@pytest.mark.parametrize("is_heard", [True, False])
def test_ctrl_c_that_ends_the_compiler_too_ends_the_run_as_ever(tmp_path, monkeypatch, is_heard):
    def compiles(*arguments):
        if is_heard:
            os.kill(os.getpid(), signal.SIGINT)
        raise CppCompileError(["g++"], "killed")

    monkeypatch.setattr("training.engine.step.forward_backward", compiles)
    workshop = Workshop.create(tmp_path)
    if not is_heard:
        with pytest.raises(CppCompileError):
            workshop.fails("out", "--max_steps=2")
        return
    assert workshop.fails("out", "--max_steps=2") == (130, "")
    assert read_checkpoint(workshop.result("out").resume_file)["step"] == 0


@pytest.mark.parametrize(
    "words, smaller",
    [
        (("--batch_size=6", "--accumulation_steps=1"), "--batch_size 3 --accumulation_steps 2"),
        (("--batch_size=9", "--accumulation_steps=2"), "--batch_size 3 --accumulation_steps 6"),
        (("--batch_size=7", "--accumulation_steps=1"), "--batch_size 1 --accumulation_steps 7"),
        (("--batch_size=1", "--accumulation_steps=4"), None),
    ],
)
def test_a_smaller_micro_batch_makes_the_same_step(words, smaller):
    said = without_memory(ERROR, make_plan(flags(*words), rows_per_epoch=1000, row_length=8, world_size=1))
    assert smaller in said if smaller else "--batch_size" not in said


def test_what_is_in_use_already_is_not_advised():
    plan = make_plan(flags("--activation_checkpointing"), rows_per_epoch=1000, row_length=8, world_size=1)
    assert "--activation_checkpointing" not in without_memory(ERROR, plan)
    plan = make_plan(flags("--activation_checkpointing=cheap"), rows_per_epoch=1000, row_length=8, world_size=1)
    said = without_memory(ERROR, plan)
    assert "--activation_checkpointing layers" in said and "--activation_checkpointing cheap" not in said
    assert "--fit GB" in without_memory(ERROR, None)


def test_what_processes_that_share_a_network_go_without_is_not_advised():
    plan = make_plan(flags(), rows_per_epoch=1000, row_length=8, world_size=1)
    said = without_memory(ERROR, plan, shards=True)
    assert "--fit" not in said and "cheap" not in said
    assert "give --batch_size" in said and "or --activation_checkpointing layers" in said
    words = "--activation_checkpointing", "--batch_size=1", "--accumulation_steps=1"
    plan = make_plan(flags(*words), rows_per_epoch=1000, row_length=8, world_size=1)
    assert "give a smaller --max_seq_len" in without_memory(ERROR, plan, shards=True)


FAILS = """import pathlib


def letters(prompts, completions, **columns):
    calls = pathlib.Path(__file__).with_suffix(".calls")
    number = int(calls.read_text()) + 1 if calls.exists() else 1
    calls.write_text(str(number))
    if number == 3:
        raise ValueError("no number")
    return [text.count("a") / 6 for text in completions]
"""


def test_a_reward_that_fails_loses_no_step_and_the_mended_one_goes_on(tmp_path):
    workshop = Workshop.create(tmp_path, "grpo")
    words = ("--max_steps=4", "--epochs=4", "--eval_interval=0")
    whole = workshop.train("whole", *words)
    mended = (tmp_path / "my_reward.py").read_text("utf-8")
    (tmp_path / "my_reward.py").write_text(FAILS, encoding="utf-8")
    code, said = workshop.fails("out", *words)
    assert code == 1 and "no number" in said
    assert read_checkpoint(workshop.result("out").resume_file)["step"] == 2

    (tmp_path / "my_reward.py").write_text(mended, encoding="utf-8")
    assert "data.rewards was" in workshop.fails("out", *words, "--resume")[1]
    gone_on = workshop.train("out", *words, "--resume", "--allow_changed")
    assert "answers are rated by these from the next step on" in gone_on.said
    assert_same_run(gone_on, whole)


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: device-side assert triggered"), OSError(28, "full")])
def test_a_failure_is_said_although_the_save_that_follows_it_fails_too(tmp_path, monkeypatch, error):
    update, calls = Step.update, []

    def fails(step):
        calls.append(step)
        if len(calls) == 2:
            raise SproutError("the second update fails")
        update(step)

    def cannot_save(run):
        raise error

    monkeypatch.setattr(Step, "update", fails)
    monkeypatch.setattr(Run, "save", cannot_save)
    assert Workshop.create(tmp_path).fails("out", "--max_steps=3") == (1, "error: the second update fails\n")


def test_a_rule_stops_a_run_whose_logs_somebody_has_removed(tmp_path, monkeypatch):
    workshop, write = Workshop.create(tmp_path, "ppo"), Metrics.write

    def removed(metrics, line):
        write(metrics, line)
        shutil.rmtree(metrics.folder)

    monkeypatch.setattr(Metrics, "write", removed)
    monkeypatch.setattr("training.stages.stop_rules.FEWEST", 1)
    monkeypatch.setattr("training.stages.stop_rules.why_stop", lambda *facts: "it is enough")
    result = workshop.train("out", "--max_steps=3", "--epochs=4", "--eval_interval=0", "--critic_warmup=0")
    assert "stopped after step 1 of 3: it is enough" in result.said
    assert read_description(result.logs).stopped == "it is enough"
