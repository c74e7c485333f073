"""A save is whole or absent, damage is noticed, and nothing in a file is run."""

import errno
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import time
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from model.config import TransformerConfig
from model.disk import previous_path, sweep_temporaries, write_atomically
from model.errors import SproutError
from model.files.checkpoint import save_checkpoint
from model.files.reading import read_checkpoint
from model.unwritable import cannot_write

ROOT = Path(__file__).parents[3]
SMALL = TransformerConfig(vocab_size=272, hidden_size=32, intermediate_size=48, num_hidden_layers=2)


def contents(step: int) -> dict:
    generator = torch.Generator().manual_seed(step)
    return {"step": step, "model": {"weight": torch.randn(40, 25, generator=generator)}}


def same(a: dict, b: dict) -> bool:
    return a["step"] == b["step"] and torch.equal(a["model"]["weight"], b["model"]["weight"])


def run_python(code: str, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def two_saves(tmp_path) -> Path:
    path = tmp_path / "pretrain_512.pth"
    save_checkpoint(path, contents(100))
    save_checkpoint(path, contents(200))
    return path


# --- whole or absent --------------------------------------------------------------------------------


def test_the_previous_generation_is_the_save_before(tmp_path):
    path = tmp_path / "new" / "pretrain_512.pth"
    for step in (1, 2, 3):
        save_checkpoint(path, contents(step))
    assert same(read_checkpoint(path), contents(3))
    assert same(read_checkpoint(previous_path(path)), contents(2))
    assert sorted(os.listdir(path.parent)) == ["pretrain_512.previous.pth", "pretrain_512.pth"]


def test_the_previous_generation_where_hard_links_do_not_exist(tmp_path, monkeypatch):
    def no_links(*_):
        raise PermissionError("not supported")

    monkeypatch.setattr(os, "link", no_links)
    test_the_previous_generation_is_the_save_before(tmp_path)


def test_a_link_left_by_a_crash_between_the_two_renames_does_no_harm(two_saves):
    os.replace(two_saves, previous_path(two_saves))
    os.link(previous_path(two_saves), two_saves)  # both names are now one file
    save_checkpoint(two_saves, contents(300))
    assert same(read_checkpoint(two_saves), contents(300))
    assert same(read_checkpoint(previous_path(two_saves)), contents(200))
    assert len(os.listdir(two_saves.parent)) == 2


def test_an_error_while_writing_leaves_the_old_files_and_no_temporary(two_saves):
    def write(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(two_saves, write, keep_previous=True)
    assert same(read_checkpoint(two_saves), contents(200))
    assert same(read_checkpoint(previous_path(two_saves)), contents(100))
    assert len(os.listdir(two_saves.parent)) == 2


@pytest.mark.skipif(os.name != "posix", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_is_one_sentence_and_the_last_save_stays(two_saves):
    code = """
import resource, sys, torch
from model.files.checkpoint import save_checkpoint
from model.errors import SproutError
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    save_checkpoint(sys.argv[1], {"step": 300, "weight": torch.zeros(1_000_000)})
except SproutError as error:
    print(error)
"""
    result = run_python(code, two_saves)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"cannot write {two_saves} (File too large; ")
    assert "GB are free there" in result.stdout and "last save is intact" in result.stdout
    assert result.stdout.count("\n") == 1
    assert same(read_checkpoint(two_saves), contents(200))
    assert len(os.listdir(two_saves.parent)) == 2


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "in it"):
        with pytest.raises(
            SproutError, match=r"cannot write .*\): choose another folder, since a file is in its place"
        ):
            save_checkpoint(folder / "weight.pth", contents(1))


def test_room_is_not_what_a_folder_that_may_not_be_written_lacks(tmp_path):
    refused, full = (OSError(number, os.strerror(number)) for number in (errno.EROFS, errno.ENOSPC))
    said = str(cannot_write(tmp_path / "a.pth", refused, is_intact=True))
    assert "choose another folder, or allow writing" in said and "free" not in said and said.endswith("save is intact")
    failed = str(cannot_write(tmp_path / "a.pth", OSError(errno.EIO, os.strerror(errno.EIO)), is_intact=False))
    assert failed.endswith("(Input/output error): check the disk or network drive")
    assert "GB are free there): make room or" in str(cannot_write(tmp_path / "a.pth", full, is_intact=False))


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_at_any_moment_a_whole_file_is_there_and_the_next_run_cleans_up(tmp_path):
    path = tmp_path / "pretrain_512.pth"
    code = """
import sys, torch
from model.files.checkpoint import save_checkpoint
for step in range(1, 100_000):
    save_checkpoint(sys.argv[1], {"step": step, "model": {"weight": torch.full((40, 25), float(step))}})
    print(step, flush=True)
"""
    moments = random.Random(0)
    last = 0
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        saved = int(process.stdout.readline())
        time.sleep(moments.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].split()
        saved = int(rest[-1]) if rest else saved
        for file in (path, previous_path(path)):
            if file == path or file.exists():
                found = read_checkpoint(file)
                assert (found["model"]["weight"] == found["step"]).all()
        assert read_checkpoint(path)["step"] in (saved, saved + 1)
        last = max(last, saved)
        sweep_temporaries(tmp_path)
        assert set(os.listdir(tmp_path)) <= {path.name, previous_path(path).name}
    assert last > 1


def test_the_sweep_spares_living_processes_and_other_files(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone = [tmp_path / f".a.pth.{dead.pid}.tmp", tmp_path / f".a.pth.{os.getpid()}.kept.tmp"]
    kept = [tmp_path / f".a.pth.{os.getppid()}.tmp", tmp_path / ".notes.tmp", tmp_path / "a.1.tmp"]
    for path in (gone[0], *kept, tmp_path / "a.pth"):
        path.write_text("")
    os.link(tmp_path / "a.pth", gone[1])  # the new file had not taken its place
    assert sorted(sweep_temporaries(tmp_path)) == sorted(gone)
    assert sorted(tmp_path.iterdir()) == sorted([*kept, tmp_path / "a.pth"])


def test_the_sweep_spares_what_another_user_has_left(tmp_path, monkeypatch):
    """In a folder such as /tmp, where everybody writes and nobody removes what is another's."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    theirs, ours = (tmp_path / f".{name}.pth.{dead.pid}.tmp" for name in "ab")
    theirs.write_text("")
    ours.write_text("")
    unlink = Path.unlink

    def as_this_user(path, missing_ok=False):
        if path == theirs:
            raise PermissionError(1, "Operation not permitted", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", as_this_user)
    assert sweep_temporaries(tmp_path) == [ours] and list(tmp_path.iterdir()) == [theirs]


@pytest.mark.parametrize("earlier", [None, "older", "newer"])
def test_the_sweep_gives_the_save_before_its_name(tmp_path, earlier):
    """Where a process was killed when the new file had its place, and the one before no name but a hidden one."""
    before, now = tmp_path / f".a.pth.{os.getpid()}.kept.tmp", tmp_path / "a.pth"
    previous = previous_path(now)
    before.write_text("before")
    now.write_text("now")
    if earlier:
        previous.write_text(earlier)
        age = before.stat().st_mtime + (9 if earlier == "newer" else -9)
        os.utime(previous, (age, age))
    assert sweep_temporaries(tmp_path) == ([before] if earlier == "newer" else [])
    assert {path: path.read_text() for path in tmp_path.iterdir()} == {
        now: "now",
        previous: "newer" if earlier == "newer" else "before",
    }


def test_a_save_in_progress_on_another_host_is_spared(tmp_path):
    """Two containers that share a folder do not see each other's processes, and their numbers are the same."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone, kept = [], []

    def begun_by_another(file):
        (of_ours,) = tmp_path.glob(".a.pth.*.tmp")
        _, host, process = re.split(r"\.a\.pth\.|-", of_ours.name.removesuffix(".tmp"))
        assert process == str(os.getpid())
        another = f"{int(host, 16) ^ 1:08x}"
        gone.append(tmp_path / f".a.pth.{host}-{dead.pid}.tmp")
        kept.extend(tmp_path / f".a.pth.{another}-{number}.tmp" for number in (dead.pid, os.getpid()))
        gone.append(tmp_path / f".b.pth.{another}-{dead.pid}.tmp")

    write_atomically(tmp_path / "a.pth", begun_by_another)
    for path in gone + kept:
        path.write_text("")
    os.utime(gone[1], (1, 1))  # of a container that has been gone for long
    assert sorted(sweep_temporaries(tmp_path)) == sorted(gone)
    assert sorted(tmp_path.iterdir()) == sorted([*kept, tmp_path / "a.pth"])


# --- damage -----------------------------------------------------------------------------------------


def test_a_flipped_byte_anywhere_is_noticed_or_harmless(two_saves, capsys):
    whole = two_saves.read_bytes()
    moments = random.Random(1)
    positions = {
        *range(0, len(whole), 37),
        *range(len(whole) - 120, len(whole)),
        *moments.sample(range(len(whole)), 60),
    }
    noticed = 0
    for position in positions:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << moments.randrange(8)
        two_saves.write_bytes(damaged)
        found = read_checkpoint(two_saves)
        warned = "going back to" in capsys.readouterr().err
        # Bytes of the zip format that say nothing (a date, padding) may change; a value may not.
        assert same(found, contents(100)) if warned else same(found, contents(200)), position
        noticed += warned
    assert noticed > len(positions) * 0.8


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.9999])
def test_a_truncated_or_empty_file_is_replaced_by_the_previous_one_loudly(two_saves, share, capsys):
    whole = two_saves.read_bytes()
    two_saves.write_bytes(whole[: int(len(whole) * share)])
    assert same(read_checkpoint(two_saves), contents(100))
    warning = capsys.readouterr().err
    assert warning.startswith("warning: ") and warning.count("\n") == 1
    assert str(two_saves) in warning and str(previous_path(two_saves)) in warning and "(step 100)" in warning


def test_a_missing_file_is_replaced_by_the_previous_one_loudly(two_saves, capsys):
    two_saves.unlink()
    assert same(read_checkpoint(two_saves), contents(100))
    assert "is missing; going back to" in capsys.readouterr().err


def test_damage_without_a_previous_save_is_an_error(two_saves):
    two_saves.write_bytes(b"PK" + bytes(1000))
    previous_path(two_saves).write_bytes(b"")
    with pytest.raises(SproutError, match="neither can be used"):
        read_checkpoint(two_saves)
    previous_path(two_saves).unlink()
    with pytest.raises(SproutError, match="no previous save"):
        read_checkpoint(two_saves)


@pytest.mark.parametrize(
    ("where", "error", "words"),
    [
        ("zipfile.ZipFile", OSError(24, "Too many open files"), "Too many open files"),
        ("zipfile.ZipFile", PermissionError(13, "Permission denied"), "Permission denied"),
        ("torch.load", MemoryError(), "MemoryError"),
        ("torch.load", RuntimeError("DefaultCPUAllocator: can't allocate memory"), "can't allocate memory"),
    ],
)
def test_a_file_that_only_cannot_be_read_now_is_not_taken_for_damaged(two_saves, monkeypatch, where, error, words):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(f"model.files.reading.{where}", fails)
    with pytest.raises(SproutError, match=f"pretrain_512.pth cannot be read .*{words}"):
        read_checkpoint(two_saves)


def test_damage_that_says_nothing_is_named(two_saves, monkeypatch, capsys):
    load = torch.load

    def fails(path, **settings):
        if path == two_saves:
            raise RuntimeError("")
        return load(path, **settings)

    monkeypatch.setattr("model.files.reading.torch.load", fails)
    assert same(read_checkpoint(two_saves), contents(100))
    assert "(RuntimeError); going back to" in capsys.readouterr().err


def test_a_missing_file_and_a_folder_are_errors(tmp_path):
    with pytest.raises(SproutError, match=r"there is no checkpoint .*nothing\.pth"):
        read_checkpoint(tmp_path / "nothing.pth")
    with pytest.raises(SproutError, match="is a folder"):
        read_checkpoint(tmp_path)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_code_in_a_file_is_never_run(tmp_path, how):
    path, sign = tmp_path / "weight.pth", tmp_path / "executed"
    evil = {"model": torch.zeros(3), "evil": Malicious(sign)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(evil))
    else:
        torch.save(evil, path, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(SproutError, match="could run code" if how == "zip" else "not a file of torch.save"):
        read_checkpoint(path)
    assert not sign.exists()


@pytest.mark.parametrize("value", [np.float64(1.5), np.zeros(3), {1, 2}, SMALL, torch.float32, defaultdict(int)])
def test_what_could_not_be_read_again_is_not_written(tmp_path, value):
    with pytest.raises(TypeError, match=r"contents\['state'\]\[1\] is a"):
        save_checkpoint(tmp_path / "weight.pth", {"state": [1, value]})
    assert not list(tmp_path.iterdir())


def test_everything_plain_comes_back_as_it_was(tmp_path):
    plain = {
        "o": OrderedDict(b=1, a=2),
        "a": [1, 2.5, None, True, b"x", ("y", 1e400)],
        3: {"t": torch.arange(5, dtype=torch.uint8)},
    }
    save_checkpoint(tmp_path / "state.pth", plain)
    found = read_checkpoint(tmp_path / "state.pth")
    assert found["a"] == plain["a"] and found["o"] == plain["o"]
    assert torch.equal(found[3]["t"], plain[3]["t"])
