"""The lock of Windows, whose library is played here: it locks bytes from the place on that a file has come to."""

import importlib
import os
import sys
from types import SimpleNamespace

import pytest


@pytest.fixture
def try_lock(monkeypatch):
    locked = set()

    def locking(descriptor, mode, count):
        place = os.lseek(descriptor, 0, os.SEEK_CUR)
        found = {(os.fstat(descriptor).st_ino, place + each) for each in range(count)}
        if mode == "at once" and found & locked:
            raise PermissionError
        locked.update(found)

    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK="at once"))
    monkeypatch.delitem(sys.modules, "model.windows", raising=False)
    yield importlib.import_module("model.windows").try_lock
    del sys.modules["model.windows"]


@pytest.mark.parametrize("mode", ["ab", "a+b", "r+b"])
def test_a_file_that_has_grown_is_still_locked(tmp_path, try_lock, mode):
    path = tmp_path / "journal"
    with open(path, "a+b", buffering=0) as first:
        assert try_lock(first.fileno())
        first.write(b"a line\n")
        assert path.read_bytes() == b"a line\n"
        with open(path, mode, buffering=0) as second:
            before = second.tell()
            assert not try_lock(second.fileno()) and second.tell() == before
    with open(tmp_path / "other", "ab") as other:
        assert try_lock(other.fileno())
