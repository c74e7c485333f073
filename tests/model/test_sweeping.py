"""What killed processes left half-written is removed; what others still write, or own, is spared."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from model.disk import previous_path, sweep_temporaries, write_atomically


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
