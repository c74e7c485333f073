"""Damage in a save is noticed, the one before is used loudly, and nothing in a file is run."""

import os
import pickle
import random

import pytest
import torch

from model.disk import previous_path
from model.errors import SproutError
from model.files.reading import read_checkpoint
from tests.model.files.saves import contents, same


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
