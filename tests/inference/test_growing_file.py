"""A file of records that grows: what a full disk and a second run leave."""

import errno
import json
import os
from collections import Counter

import pytest

from inference import growing_file
from inference.arguments import refuse_existing
from inference.growing_file import GrowingFile, refuse_taken
from model import disk
from model.errors import SproutError, UsageError


@pytest.mark.skipif(os.name != "posix", reason="a limit on the size of files stands for a full disk")
def test_a_full_disk_leaves_whole_lines(tmp_path):
    import resource

    path, before = tmp_path / "pairs.jsonl", resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(SproutError, match="cannot write .*; the records found before, 1, are in it"):
        with GrowingFile(str(path), {}, False) as file:
            file.add([{"prompt": "a"}], 1, Counter())
            resource.setrlimit(resource.RLIMIT_FSIZE, (25, before[1]))
            try:
                file.add([{"prompt": "\ud800" * 9}], 1, Counter())
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b'{"prompt": "a"}\n'
    assert json.loads((tmp_path / "pairs.jsonl.progress").read_text())["done"] == 1


def test_a_second_run_is_told_of_the_first(tmp_path):
    path = str(tmp_path / "pairs.jsonl")
    with GrowingFile(path, {}, False) as file:
        file.add([{"prompt": "a"}], 1, Counter())
        with pytest.raises(SproutError, match="another run writes .*pairs.jsonl: wait for it"):
            GrowingFile(path, {}, True)


@pytest.mark.parametrize("resume", [True, False])
def test_a_file_that_another_run_removes_meanwhile_is_not_written_to(tmp_path, monkeypatch, resume):
    """That run found nothing, or had just come to its end; what is written to a file without a name is lost."""
    path = tmp_path / "pairs.jsonl"
    first = GrowingFile(str(path), {}, False)

    def ended_before(*locked):
        first.__exit__(None, None, None)
        return disk.take(*locked)

    monkeypatch.setattr(growing_file, "take", ended_before)
    with pytest.raises(SproutError, match="another run writes .*: wait for it, or choose another --save_file"):
        GrowingFile(str(path), {}, resume)
    assert not list(tmp_path.iterdir())


def test_a_run_that_has_just_finished_is_not_gone_on_with(tmp_path, monkeypatch):
    path = tmp_path / "pairs.jsonl"
    first = GrowingFile(str(path), {}, False)
    first.add([{"prompt": "a"}], 1, Counter())

    def ended_before(*locked):
        first.__exit__(None, None, None)
        return disk.take(*locked)

    monkeypatch.setattr(growing_file, "take", ended_before)
    with pytest.raises(UsageError, match="another run has just finished .*pairs.jsonl"):
        GrowingFile(str(path), {}, True)
    assert path.read_bytes() == b'{"prompt": "a"}\n'


def test_how_to_go_on_is_said_only_where_the_same_command_can(tmp_path, capsys):
    path = str(tmp_path / "a.jsonl")
    said = f"{path} keeps what was found; the same command with --resume goes on"
    with pytest.raises(KeyboardInterrupt), GrowingFile(path, {}, False) as file:
        file.add([{"prompt": "a"}], 1, Counter())
        raise KeyboardInterrupt
    assert said in capsys.readouterr().err
    with pytest.raises(UsageError), GrowingFile(path, {}, True) as file:
        raise UsageError("the records are not those of this run")
    with pytest.raises(SproutError, match="is not as its run left it"), GrowingFile(path, {}, True) as file:
        raise file.damaged()
    assert said not in capsys.readouterr().err and len(list(tmp_path.iterdir())) == 2


def test_half_characters_are_written_as_escapes(tmp_path):
    with GrowingFile(str(tmp_path / "a.jsonl"), {}, False) as file:
        file.add([{"prompt": "\ud800 中"}], 1, Counter())
    assert (tmp_path / "a.jsonl").read_bytes() == '{"prompt": "\\ud800 中"}\n'.encode()


def test_a_run_that_was_killed_in_its_first_part_begins_again_with_resume(tmp_path):
    path = str(tmp_path / "a.jsonl")
    killed = GrowingFile(path, {}, False)
    killed._file.write(b'{"prompt": "cut o')
    killed._file.close()
    with GrowingFile(path, {}, True) as file:
        assert file.done == 0
        file.add([{"prompt": "a"}], 1, Counter())
    assert [each.name for each in tmp_path.iterdir()] == ["a.jsonl"]
    assert (tmp_path / "a.jsonl").read_bytes() == b'{"prompt": "a"}\n'


@pytest.mark.parametrize("resume", [True, False])
def test_a_run_that_was_killed_as_it_began_is_not_in_the_way(resume, tmp_path):
    path = tmp_path / "a.jsonl"
    path.touch()
    refuse_existing("--save_file", str(path))
    with GrowingFile(str(path), {}, resume) as file:
        file.add([{"prompt": "a"}], 1, Counter())
    assert path.read_bytes() == b'{"prompt": "a"}\n'


def test_a_run_that_fails_as_it_begins_is_not_in_the_way(tmp_path, monkeypatch):
    path = str(tmp_path / "a.jsonl")

    def failing(folder):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch, pytest.raises(SproutError, match="Input/output error"):
        patch.setattr(disk, "sync_folder", failing)
        GrowingFile(path, {}, False)
    refuse_taken("--save_file", path, resume=False)
    GrowingFile(path, {}, False).__exit__(None, None, None)
    assert not list(tmp_path.iterdir())


def test_a_file_that_another_run_has_just_finished_is_left_as_it_is(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n")
    with pytest.raises(UsageError, match="exists already"):
        GrowingFile(str(path), {}, False)
    assert path.read_text() == "{}\n" and len(list(tmp_path.iterdir())) == 1


def test_records_are_not_replaced_unless_they_are_removed(tmp_path):
    path, progress = tmp_path / "items.jsonl", tmp_path / "items.jsonl.progress"
    with pytest.raises(KeyboardInterrupt), GrowingFile(str(path), {}, False, replaces=True) as file:
        file.add([{"item": 1}], 1, Counter())
        raise KeyboardInterrupt
    with pytest.raises(
        UsageError, match="items.jsonl keeps 1 records? of a run that did not end: go on with it by --res"
    ):
        GrowingFile(str(path), {}, False, replaces=True)
    assert path.read_text() == '{"item": 1}\n' and progress.exists()
    path.unlink()
    with GrowingFile(str(path), {}, False, replaces=True) as file:
        assert (file.done, file.records) == (0, 0)
        file.add([{"item": 2}], 1, Counter())
    assert path.read_text() == '{"item": 2}\n' and not progress.exists()
