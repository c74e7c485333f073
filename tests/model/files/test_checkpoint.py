"""A save is whole or absent, and comes back as it was; what could not be read again is not written."""

import errno
import os
import random
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
from tests.model.files.saves import contents, same

ROOT = Path(__file__).parents[3]
SMALL = TransformerConfig(vocab_size=272, hidden_size=32, intermediate_size=48, num_hidden_layers=2)


def run_python(code: str, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


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


@pytest.mark.skipif(os.name != "posix", reason="elsewhere no folder of an open file can be moved")
def test_a_folder_that_somebody_moves_meanwhile_is_named(tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(SproutError, match=rf"a\.pth \(.*\): the folder {tmp_path / 'out'} was moved away or cannot"):
        write_atomically(folder / "logs" / "a.pth", lambda file: folder.rename(tmp_path / "moved"))


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
