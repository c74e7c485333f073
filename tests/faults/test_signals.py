"""SIGTERM and Ctrl-C at any moment: what is done is saved, how to go on is said, the code is 143 or 130.

In pretraining, tests/stages/test_train_pretrain_resume.py has SIGTERM in every phase, and Ctrl-C in training.
"""

import os
import re
import signal
from functools import partial

import pytest

from model.files.reading import read_checkpoint
from tests.dataset.support import leftovers
from tests.faults.processes import (
    Running,
    at_call,
    in_order,
    left_behind,
    no_curves,
    signal_itself,
    together,
)
from tests.stages.workshop import Result, Workshop, assert_same_run, write_chats, write_texts
from tests.support import wait_until

SIGNALS = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
RUN = (
    "--epochs=3",
    "--max_steps=12",
    "--save_interval=5",
    "--eval_interval=4",
    "--sample_interval=6",
    "--val_ratio=0.2",
)

# Of each stage and phase: the call of a function in which the signal comes, and the step that is saved then; a step
# that is being validated or sampled after has made its update already, but not come to its end.
PHASES = {
    ("pretrain", "validation"): ("model.likelihood:next_token_scores", 3, 3),
    ("pretrain", "sampling"): ("model.generation:sample", 7, 5),
    ("pretrain", "saving"): ("training.engine.run:save_checkpoint", 1, 5),
    ("pretrain", "drawing"): ("training.report.metrics:Metrics.draw", 1, 5),
    ("full_sft", "training"): ("training.engine.step:Step.learn", 11, 5),
    ("full_sft", "validation"): ("model.likelihood:next_token_scores", 7, 7),
    ("full_sft", "sampling"): ("model.generation:sample", 7, 5),
    ("full_sft", "saving"): ("training.engine.run:save_checkpoint", 1, 5),
    ("full_sft", "drawing"): ("training.report.metrics:Metrics.draw", 1, 5),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A workshop for each stage, and what a run leaves that nothing happens to."""
    runs: dict[str, tuple[Workshop, Result]] = {}
    for stage in ("pretrain", "full_sft"):
        workshop = Workshop.create(tmp_path_factory.mktemp(stage), stage)
        ended = Running(f"train_{stage}", workshop.command("whole", *RUN), no_curves).end()
        assert ended.code == 0, ended.err
        runs[stage] = workshop, workshop.result("whole")
    return runs


@pytest.mark.parametrize(
    "stage, phase, number, code",
    [
        (*phase, *each)
        for phase in PHASES
        for each in SIGNALS
        if each != SIGNALS[0] or phase[0] != "pretrain" or phase[1] == "drawing"
    ],
)
def test_it_saves_says_how_to_go_on_and_goes_on_to_the_bit(whole, stage, phase, number, code, record_property):
    (place, call, step), (workshop, expected) = PHASES[stage, phase], whole[stage]
    out, module = f"{phase}_{code}", f"train_{stage}"
    begin = partial(in_order, no_curves, partial(at_call, call, place, partial(signal_itself, number)))
    ended = Running(module, workshop.command(out, *RUN), begin).end()
    assert (ended.code, ended.err) == (code, "")
    assert f"stopped at step {step} of 12, saved; go on with: " in ended.out
    stopped = workshop.result(out)
    assert (stopped.facts["step"], read_checkpoint(stopped.resume_file)["step"]) == (step, step)
    assert stopped.metrics[-1]["step"] == step and not left_behind(stopped.folder)
    again = Running(module, workshop.command(out, *RUN, "--resume"), no_curves).end()
    assert again.code == 0 and f"at step {step} of 12" in again.out
    assert_same_run(stopped, expected)
    record_property("signals", 1)


@pytest.mark.parametrize("number, code", SIGNALS)
def test_two_processes_end_together(whole, number, code, record_property):
    workshop, _ = whole["pretrain"]
    words = workshop.command("two", *RUN, "--epochs=200", "--max_steps=4000", "--weight_name", f"two_{code}")
    running = [Running("train_pretrain", words, no_curves, each) for each in together(2)]
    path = workshop.folder / "two" / "logs" / f"two_{code}_32" / "metrics.jsonl"
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") > 3)
    for each in running:  # as a terminal does; torchrun then sends another, which is the same request
        each.send(number)
    endings = [each.end() for each in running]
    assert [ended.code for ended in endings] == [code, code] and "rror" not in "".join(ended.err for ended in endings)
    assert re.search(r"stopped at step \d+ of \d+, saved", endings[0].out) and endings[1].out == ""
    record_property("signals", 2)


# --- before there is anything to save ---------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Files that take seconds to tokenise."""
    folder = tmp_path_factory.mktemp("large")
    Workshop.create(folder)
    for name, write in (("texts.jsonl", write_texts), ("chats.jsonl", write_chats)):
        few = write(folder / "few.jsonl", 1000, seed=3).read_bytes()
        (folder / name).write_bytes(few * (60 if name == "texts.jsonl" else 120))
    return folder


@pytest.mark.parametrize("number, code", SIGNALS)
@pytest.mark.parametrize("stage, data", [("pretrain", "texts.jsonl"), ("full_sft", "chats.jsonl")])
def test_while_it_tokenises_by_several_workers_it_ends_at_once_and_leaves_nothing(
    large, tmp_path, stage, data, number, code, record_property
):
    os.symlink(large / "tokenizer", tmp_path / "tokenizer")
    os.symlink(large / "start.pth", tmp_path / "start.pth")
    workshop = Workshop(tmp_path, stage)
    words = workshop.command("out", data=(large / data,))
    running = Running(f"train_{stage}", words, environment={"RAYON_NUM_THREADS": "3"})
    wait_until(lambda: any(path.stat().st_size > 0 for path in tmp_path.glob("out/cache/*.building/train.bin")))
    running.send(number)
    ended = running.end(20)
    assert (ended.code, ended.err) == (code, "")
    assert leftovers(tmp_path / "out" / "cache") == [] and not left_behind(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cache"]
    record_property("signals", 1)


@pytest.mark.parametrize("number, code", SIGNALS)
@pytest.mark.parametrize("delay", [0, 0.3])
def test_a_tokenizer_in_the_making_is_given_up(large, tmp_path, delay, number, code, record_property):
    before = {"tokenizer.json": "{}", "tokenizer_config.json": "{}"}
    for name, text in before.items():
        (tmp_path / name).write_text(text)
    words = ["--data_path", large / "texts.jsonl", "--vocab_size", "2000", "--out_dir", tmp_path]
    begin = partial(at_call, 1, "dataset.words:count_corpus", partial(signal_itself, number, delay))
    ended = Running("train_tokenizer", words, begin).end(30)
    assert ended.code in (code, -number) and ended.err == ""  # a shell shows either as 143 or 130
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before
    record_property("signals", 1)


@pytest.mark.parametrize("number, code", SIGNALS)
@pytest.mark.parametrize("place", ["training.stages.starting_point:Tokenizer.load", "training.engine.plan:make_plan"])
def test_before_the_first_step_it_ends_at_once(whole, place, number, code, record_property):
    workshop, _ = whole["pretrain"]
    begin = partial(at_call, 1, place, partial(signal_itself, number))
    ended = Running("train_pretrain", workshop.command("early", *RUN), begin).end()
    assert (ended.code, ended.err) == (code, "") and "saved" not in ended.out
    assert not workshop.result("early").weight_file.exists()
    record_property("signals", 1)
