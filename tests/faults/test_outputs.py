"""An output belongs to one run, a cache is made once, and a folder that cannot be written is named, whoever asks.

That paths with spaces, Chinese characters and signs of the shell work, for every script, is tested in
tests/faults/test_hostile_commands.py.
"""

import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest

from model.disk import exclusive
from model.files.reading import read_checkpoint
from tests.dataset.support import leftovers
from tests.faults.processes import Running, at_call, in_order, left_behind, no_curves, pause_in_step
from tests.stages.workshop import Workshop, assert_same_run
from tests.support import wait_until

RUN = ("--max_steps=6", "--save_interval=2", "--eval_interval=0")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    return Workshop.create(tmp_path_factory.mktemp("outputs"))


def test_of_two_runs_on_one_output_the_second_is_refused_and_the_first_undisturbed(workshop, record_property):
    paused, until = workshop.folder / "paused", workshop.folder / "until"
    pause = partial(pause_in_step, 4, paused, until)
    first = Running("train_pretrain", workshop.command("one", "--epochs=60", "--save_interval=2"), pause)
    result = workshop.result("one")
    wait_until(result.resume_file.exists)  # without it, --resume ends before it looks for another run
    for words in ((), ("--resume",), ("--epochs=2",)):
        ended = Running("train_pretrain", workshop.command("one", "--epochs=60", *words)).end()
        assert ended.code == 1 and f"another run is writing {result.weight_file}" in ended.sentence
        assert "choose another name or --out_dir" in ended.sentence
        record_property("runs", 1)
    other = Running("train_pretrain", workshop.command("one", *RUN, "--weight_name=other"), no_curves).end()
    assert other.code == 0, other.err  # another name is another output
    first.send(15)
    until.touch()
    ended = first.end()
    assert (ended.code, ended.err) == (143, "")
    assert [line["step"] for line in result.metrics] == list(range(1, result.facts["step"] + 1))
    assert not left_behind(result.folder)


def test_a_killed_run_holds_its_output_no_longer(workshop, record_property):
    first = Running("train_pretrain", workshop.command("killed", "--epochs=60"), no_curves)
    result = workshop.result("killed")
    wait_until(lambda: result.logs.joinpath("metrics.jsonl").exists())
    assert first.kill()
    assert Running("train_pretrain", workshop.command("killed", *RUN), no_curves).end().code == 0
    record_property("runs", 1)


# --- folders that cannot be written -----------------------------------------------------------------


@pytest.fixture
def open_folder():
    """A folder that anybody may read; those of pytest are its user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def become_nobody() -> None:
    """Gives up the right of root to write everywhere."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def make_readable(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize("out", [".", "new/below"])
def test_a_folder_that_may_not_be_written_is_named_before_any_work(open_folder, out, record_property):
    workshop = Workshop.create(open_folder)
    closed = open_folder / "closed"
    closed.mkdir()
    make_readable(open_folder)
    closed.chmod(0o555)
    ended = Running("train_pretrain", workshop.command(f"closed/{out}", *RUN), become_nobody).end()
    assert ended.code == 1 and str(closed) in ended.sentence and ended.err.count("\n") == 1
    assert list(closed.iterdir()) == []
    record_property("runs", 1)


def others_may_read(folder: Path) -> bool:
    return all(each.stat().st_mode & 0o005 == 0o005 for each in (folder, *folder.parents))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away and take it back")
@pytest.mark.skipif(not others_may_read(Path(sys.prefix)), reason="nobody else may import from this environment")
def test_a_folder_that_may_not_be_written_any_more_keeps_the_last_save(open_folder, record_property):
    """As when a network drive is mounted read-only: found at the third save."""
    workshop = Workshop.create(open_folder)
    expected = workshop.train("whole", *RUN)
    out = open_folder / "out"
    out.mkdir()
    make_readable(open_folder)
    os.chown(out, 65534, 65534)
    begin = partial(
        in_order,
        become_nobody,
        no_curves,
        partial(at_call, 3, "training.engine.output:save_weights", partial(out.chmod, 0o555)),
    )
    ended = Running("train_pretrain", workshop.command("out", *RUN), begin).end()
    result = workshop.result("out")
    assert ended.code == 1 and ended.sentence.startswith(f"cannot write {result.weight_file} (Permission denied")
    assert "the file of the last save is intact" in ended.sentence
    assert (result.facts["step"], read_checkpoint(result.resume_file)["step"]) == (4, 4)
    out.chmod(0o755)
    assert Running("train_pretrain", workshop.command("out", *RUN, "--resume"), no_curves).end().code == 0
    assert_same_run(result, expected)
    record_property("runs", 1)


# --- a cache that several runs want -----------------------------------------------------------------


def test_two_runs_that_begin_together_tokenise_once(workshop, record_property):
    expected = workshop.train("whole", *RUN)
    words = workshop.command("shared", *RUN)
    running = [Running("train_pretrain", [*words, f"--weight_name={name}"], no_curves) for name in ("one", "two")]
    for each, name in zip(running, ("one", "two"), strict=True):
        ended = each.end()
        assert ended.code == 0, ended.err
        weights = read_checkpoint(workshop.folder / "shared" / f"{name}_32.pth")["model"]
        assert all(tensor.equal(expected.weights[key]) for key, tensor in weights.items())
        record_property("runs", 1)
    assert len(leftovers(workshop.folder / "shared" / "cache")) == 2  # one of each file


def test_a_run_waits_for_who_tokenises_its_data_and_says_so(workshop, record_property):
    expected = workshop.train("whole", *RUN)
    keys = [path.parent.name for path in expected.folder.glob("cache/*/meta.json")]
    cache = workshop.folder / "waiting" / "cache"
    cache.mkdir(parents=True)
    with exclusive(cache / f"{keys[0]}.lock", on_wait=lambda: None):
        (cache / f"{keys[0]}.building").mkdir()  # of the one that holds the lock, which is killed then
        says = partial(at_call, 1, "dataset.cache.folder:_say", (workshop.folder / "waits").touch)
        running = Running("train_pretrain", workshop.command("waiting", *RUN), partial(in_order, no_curves, says))
        wait_until((workshop.folder / "waits").exists)
        assert running.is_alive() and not workshop.result("waiting").logs.exists()
    ended = running.end()
    assert ended.code == 0 and ended.err.count("\n") == 1 and "is being tokenised by another process" in ended.err
    assert not left_behind(cache)
    assert_same_run(workshop.result("waiting"), expected)
    record_property("runs", 1)


def test_a_cache_that_was_cut_short_between_two_runs_is_made_again(workshop, record_property):
    expected = workshop.train("whole", *RUN)
    shutil.copytree(expected.folder, workshop.folder / "cut")
    for path in (workshop.folder / "cut").glob("cache/*/train.bin"):
        os.truncate(path, path.stat().st_size // 2)
    begin = partial(at_call, 1, "training.engine.run:Run.steps", no_curves)
    ended = Running("train_pretrain", workshop.command("cut", *RUN, "--resume"), begin).end()
    assert ended.code == 0 and ended.err.count("is damaged: ") == ended.err.count("is tokenised again") == 2
    assert_same_run(workshop.result("cut"), expected)
    record_property("runs", 1)
