"""A full disk, whatever is being written, ends in one sentence; the last checkpoint is whole, and the run can go on.

Writes fail beyond a limit on the size of files, set in the very moment; or for want of room, on a small disk.
"""

import os
import shutil
import subprocess
from functools import partial
from types import SimpleNamespace

import pytest

from dataset.sample import files
from model.files.reading import read_checkpoint
from model.text.tokenizer import Tokenizer
from tests.faults.processes import Running, at_call, fill_the_disk, in_order, left_behind, no_curves
from tests.faults.scripts import python
from tests.stages.workshop import Result, Workshop, assert_same_run

RUN = ("--epochs=3", "--max_steps=8", "--save_interval=2", "--eval_interval=0", "--val_ratio=0.2")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    runs: dict[str, tuple[Workshop, Result]] = {}
    for stage in ("pretrain", "full_sft"):
        workshop = Workshop.create(tmp_path_factory.mktemp(stage), stage)
        ended = Running(f"train_{stage}", workshop.command("whole", *RUN), no_curves).end()
        assert ended.code == 0, ended.err
        runs[stage] = workshop, workshop.result("whole")
    return runs


# What is being written: the call in which the disk is found full, the file that is named, and the steps that are
# saved in weight and state.
WRITES = {
    "the first weight": ("training.engine.output:save_weights", 1, "pretrain_32.pth", None, None),
    "the first state": ("training.engine.run:save_checkpoint", 1, "pretrain_32_resume.pth", 2, None),
    "a weight": ("training.engine.output:save_weights", 3, "pretrain_32.pth", 4, 4),
    "a state": ("training.engine.run:save_checkpoint", 3, "pretrain_32_resume.pth", 6, 4),
    "metrics.jsonl": ("training.report.metrics:Metrics.write", 5, "metrics.jsonl", 4, 4),
    "events": ("training.report.metrics:Events.flush", 7, "events.out.tfevents.", 4, 4),
    "loss.png": ("training.report.loss_curve:draw_loss_curve", 1, "loss.png", 4, 4),
    "metrics.jsonl that is cut": ("training.report.metrics:Metrics.__init__", 1, "metrics.jsonl", None, None),
}


@pytest.mark.parametrize(
    "stage, name",
    [("pretrain", name) for name in WRITES] + [("full_sft", name) for name in WRITES if "first" in name],
)
def test_a_run_ends_in_a_sentence_and_can_be_resumed(whole, stage, name, record_property):
    (place, call, file, weight_step, state_step), (workshop, expected) = WRITES[name], whole[stage]
    out, room = name.replace(" ", "_"), 0 if "cut" in name else 1000
    begin = partial(at_call, call, place, partial(fill_the_disk, room))
    if name != "loss.png":
        begin = partial(in_order, no_curves, begin)
    if "cut" in name:  # of a run that was there before
        shutil.copytree(expected.folder, workshop.folder / out)
    result = workshop.result(out)
    words = workshop.command(out, *RUN, *(("--resume",) if "cut" in name else ()))
    ended = Running(f"train_{stage}", words, begin).end()
    assert ended.code == 1 and ended.err.count("\n") == 1
    assert ended.sentence.startswith(f"cannot write {result.folder}/")
    assert file.replace("pretrain", stage) in ended.sentence and "make room" in ended.sentence
    assert "File too large" in ended.sentence and not left_behind(result.folder)
    if "cut" not in name:
        for path, step in ((result.weight_file, weight_step), (result.resume_file, state_step)):
            assert path.exists() == (step is not None), path
            if step is not None:
                assert "intact" in ended.sentence or name in ("the first weight", "the first state", "loss.png")
                contents = read_checkpoint(path)
                assert contents.get("step", contents.get("facts", {}).get("step")) == step
    again = ("--resume",) if result.resume_file.exists() else ()
    ended = Running(f"train_{stage}", workshop.command(out, *RUN, *again), no_curves).end()
    assert ended.code == 0, ended.err
    assert_same_run(result, expected)
    record_property("writes", 1)


@pytest.mark.parametrize(
    "stage, place, call",
    [
        ("pretrain", "dataset.cache.texts:StreamWriter.add", 3),
        ("pretrain", "dataset.cache.folder:sync_folder", 1),
        ("full_sft", "dataset.cache.examples:ExampleWriter.add", 3),
    ],
)
def test_a_token_cache_is_whole_or_absent(whole, stage, place, call, record_property):
    workshop, expected = whole[stage]
    out = f"cache_{call}"
    shutil.rmtree(workshop.folder / out, ignore_errors=True)
    begin = partial(at_call, call, place, partial(fill_the_disk, 100))
    if place.endswith("sync_folder"):
        begin = partial(at_call, 1, "dataset.cache.token_cache:tokenise", partial(fill_the_disk, 0))
    ended = Running(f"train_{stage}", workshop.command(out, *RUN), begin).end()
    assert ended.code == 1 and "cannot be tokenised into" in ended.sentence and "make room" in ended.sentence
    left = [path.name for path in (workshop.folder / out / "cache").iterdir() if path.is_dir()]
    assert set(left) <= {"content"} and not left_behind(workshop.folder / out)
    ended = Running(f"train_{stage}", workshop.command(out, *RUN), no_curves).end()
    assert ended.code == 0
    assert_same_run(workshop.result(out), expected)
    record_property("writes", 1)


@pytest.mark.parametrize("room", [0, 3000])
def test_a_tokenizer_that_was_there_stays(whole, tmp_path, room, record_property):
    """Its two files belong together: neither is replaced where the other cannot be."""
    workshop, _ = whole["pretrain"]
    shutil.copytree(workshop.folder / "tokenizer", tmp_path / "tokenizer")
    before = {path.name: path.read_bytes() for path in (tmp_path / "tokenizer").iterdir()}
    words = ["--data_path", workshop.folder / "a.jsonl", "--vocab_size", "280", "--out_dir", tmp_path / "tokenizer"]
    begin = partial(at_call, 1, "model.text.replace:write_files", partial(fill_the_disk, room))
    ended = Running("train_tokenizer", words, begin).end()
    assert ended.code == 1 and "cannot write" in ended.sentence and "tokenizer" in ended.sentence
    assert {path.name: path.read_bytes() for path in (tmp_path / "tokenizer").iterdir()} == before
    Tokenizer.load(tmp_path / "tokenizer")
    record_property("writes", 1)


def test_the_list_of_bad_lines_of_a_tokenizer(whole, tmp_path, record_property):
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n' + "bad\n" * 9)
    words = ["--data_path", tmp_path / "a.jsonl", "--out_dir", tmp_path / "out", "--on_bad_line", "skip"]
    ended = Running("train_tokenizer", words, partial(fill_the_disk, 100)).end()
    assert ended.code == 1 and "make room" in ended.sentence and not left_behind(tmp_path)
    record_property("writes", 1)


@pytest.mark.parametrize("room", [0, 1000, 20_000])
def test_an_export_that_was_there_stays(whole, tmp_path, room, record_property):
    workshop, result = whole["pretrain"]
    words = ["--weight_path", workshop.folder / "start.pth", "--save_dir", tmp_path / "hf"]
    assert python("scripts/export_hf.py", *words).code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "hf").iterdir()}
    words[1] = result.weight_file
    ended = Running("scripts.export_hf", words, partial(fill_the_disk, room)).end()
    assert ended.code == 1 and f"cannot write {tmp_path / 'hf'}" in ended.sentence and "make room" in ended.sentence
    assert {path.name: path.read_bytes() for path in (tmp_path / "hf").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]
    record_property("writes", 1)


@pytest.mark.parametrize("room", [0, 10_000, 20_000])
def test_an_export_for_minimind_can_be_repeated(whole, tmp_path, room, record_property):
    """With room for the tokenizer alone, too: the weight comes last, so nothing is there that looks like an export."""
    _, result = whole["pretrain"]
    words = ["--weight_path", result.weight_file, "--save_dir", tmp_path / "bare", "--minimind"]
    ended = Running("scripts.export_hf", words, partial(fill_the_disk, room)).end()
    assert ended.code == 1 and f"cannot write {tmp_path / 'bare'}" in ended.sentence and "make room" in ended.sentence
    assert ended.err.count("\n") == 1 and not left_behind(tmp_path)
    written = [path.name for path in (tmp_path / "bare").iterdir()]
    assert len(written) == (2 if room else 0)
    assert python("scripts/export_hf.py", *words).code == 0
    record_property("writes", 1)


def only_questions() -> None:
    """Leaves out the other files of the sample data, which take seconds to make."""
    files.FILES = {"questions": files.FILES["questions"]}


@pytest.mark.parametrize("room", [0, 100_000])
def test_the_sample_data(tmp_path, room, record_property):
    before = partial(in_order, only_questions, partial(fill_the_disk, room))
    ended = Running("dataset.sample.files", ["--out_dir", tmp_path], before).end()
    assert ended.code == 1 and f"cannot write {tmp_path}" in ended.sentence and not left_behind(tmp_path)
    assert not (tmp_path / "sample" / "made.json").exists()
    record_property("writes", 1)


# --- a small disk -----------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    """Mounts a disk of so many kB, and resizes it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = []

    def of(size: int):
        again = "remount," if mounted else ""
        command = ["mount", "-t", "tmpfs", "-o", f"{again}size={size}k", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("a disk may not be mounted here")
        mounted.append(size)
        return folder

    yield of
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", [16, 96, 200, 360, 520, 700, 900, 1200, 1700])
def test_on_a_disk_of_any_size_what_was_saved_stays(whole, disk, size, record_property):
    """Nobody says where it becomes full: smaller ones while tokenising, larger ones in a save or in between."""
    _, expected = whole["pretrain"]
    folder = disk(size)
    for name in ("a.jsonl", "b.jsonl", "tokenizer"):
        os.symlink(expected.folder.parent / name, folder.parent / name)
    workshop = Workshop(folder.parent)
    ended = Running("train_pretrain", workshop.command("disk", *RUN), pretend_room).end()
    result = workshop.result("disk")
    if ended.code:
        assert ended.code == 1 and "No space left" in ended.sentence and ended.err.count("\n") == 1
    assert not left_behind(folder)
    for path in (result.weight_file, result.resume_file):
        if path.exists():
            assert read_checkpoint(path)
    disk(64_000)
    again = ("--resume",) if result.resume_file.exists() else ()
    ended = Running("train_pretrain", workshop.command("disk", *RUN, *again), no_curves).end()
    assert ended.code == 0, ended.err
    assert_same_run(result, expected)
    record_property("writes", 1)


def pretend_room() -> None:
    """Lets a run begin that would see that its checkpoints do not fit."""
    shutil.disk_usage = lambda path: SimpleNamespace(total=10**12, used=0, free=10**12)


@pytest.mark.parametrize("stage", ["pretrain", "full_sft"])
def test_at_its_start_a_run_sees_whether_its_checkpoints_fit(whole, monkeypatch, stage, record_property):
    workshop, expected = whole[stage]
    files = sum(path.stat().st_size for path in (expected.weight_file, expected.resume_file))  # of one generation
    for share, fits in ((0, False), (2, False), (4, True)):
        usage = SimpleNamespace(total=10**12, used=0, free=share * files)
        monkeypatch.setattr("shutil.disk_usage", lambda path, usage=usage: usage)
        ended = python(f"train_{stage}.py", *workshop.command("room", *RUN))
        assert ended.code == (0 if fits else 1)
        if not fits:
            assert "GB free, but the checkpoints of this run take" in ended.sentence
            assert not (workshop.folder / "room" / "logs").exists()
        record_property("writes", 1)
