"""`scripts/prepare.py` killed, resumed, and run again into the folder of an earlier result."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dataset.prepare import steps
from model.errors import SproutError, UsageError
from tests.scripts.prepared import read, results, run, text, write, write_sources
from tests.support import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[str]:
    return write_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def result(sources, tmp_path_factory) -> Path:
    return run(sources, tmp_path_factory.mktemp("prepared"), "--rules", "none", "--val_ratio", "0.1")


# Runs `prepare` with small chunks.
PREPARE = """
import sys
import dataset.prepare.steps as steps
from scripts.prepare import main

def small(*given, whole=steps.prepare):
    return whole(*given, chunk_characters=3000)

if __name__ == "__main__":
    steps.prepare = small
    main(sys.argv[1:])
"""


def test_killed_and_resumed_in_two_processes_and_other_chunks(sources, result, tmp_path):
    script = tmp_path / "run.py"
    script.write_text(PREPARE)
    folder, unfinished = tmp_path / "out", tmp_path / "out" / "unfinished"
    flags = ["--save_dir", str(folder), "--rules", "none", "--val_ratio", "0.1"]
    command = [sys.executable, str(script), *sources, *flags]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([*command, "--processes", "1"], env=environment) as process:
        try:
            wait_until(lambda: process.poll() is not None or len(list(unfinished.glob("judged/*.json"))) >= 3)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL and (unfinished / "run.json").exists()
    with pytest.raises(UsageError, match="add --resume"):
        run(sources, folder, "--rules", "none", "--val_ratio", "0.1")
    with pytest.raises(UsageError, match="other settings"):
        run(sources, folder, "--rules", "none", "--val_ratio", "0.2", "--resume")
    subprocess.run([*command, "--processes", "2", "--resume"], env=environment, check=True)
    assert results(folder) == results(result)
    run(sources, folder, "--rules", "none", "--val_ratio", "0.1", "--resume")
    assert results(folder) == results(result), "a finished run has nothing to go on with"


def test_earlier_result_is_kept_aside(sources, tmp_path, capsys):
    first = (run(sources[2:], tmp_path) / "chats.jsonl").read_bytes()
    run(sources[1:2], tmp_path, "--rules", "none")
    assert (tmp_path / "chats.previous.jsonl").read_bytes() == first and not (tmp_path / "chats.jsonl").exists()
    assert "is kept as" in capsys.readouterr().out
    with pytest.raises(UsageError, match="in --save_dir"):
        run([str(tmp_path / "text.jsonl")], tmp_path)


def test_what_a_killed_removal_left_is_not_gone_on_with(tmp_path, monkeypatch):
    """The folder of a finished run is removed file by file: a kill in between leaves chunks of another input."""
    first = str(write(tmp_path / "a.jsonl", [{"text": text(2)}]))
    monkeypatch.setattr("dataset.prepare.work.shutil.rmtree", lambda path: None)
    run([first], tmp_path / "out", "--rules", "none")
    assert list((tmp_path / "out" / "unfinished" / "judged").iterdir())
    monkeypatch.undo()
    run([str(write(tmp_path / "b.jsonl", [{"text": text(4)}]))], tmp_path / "out", "--rules", "none")
    assert [each["text"] for each in read(tmp_path / "out" / "text.jsonl")] == [text(4)]


def test_a_run_killed_when_its_results_were_in_place_leaves_nothing_after_resume(sources, tmp_path, monkeypatch):
    def killed(work):
        work._lock.close()
        raise KeyboardInterrupt

    monkeypatch.setattr("dataset.prepare.work.WorkFolder.remove", killed)
    with pytest.raises(KeyboardInterrupt):
        run(sources[1:2], tmp_path, "--rules", "none")
    monkeypatch.undo()
    before = (tmp_path / "text.jsonl").read_bytes()
    run(sources[1:2], tmp_path, "--rules", "none", "--resume")
    assert not (tmp_path / "unfinished").exists() and (tmp_path / "text.jsonl").read_bytes() == before
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "run.json").write_text('{"settings": "of another run"}')
    run(sources[1:2], tmp_path, "--rules", "none", "--resume")
    assert (tmp_path / "unfinished" / "run.json").exists()


def test_a_result_that_was_removed_is_made_again(sources, tmp_path):
    run(sources[1:2], tmp_path, "--rules", "none")
    before = (tmp_path / "text.jsonl").read_bytes()
    (tmp_path / "text.jsonl").unlink()
    run(sources[1:2], tmp_path, "--rules", "none", "--resume")
    assert (tmp_path / "text.jsonl").read_bytes() == before


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"fingerp'])
def test_a_damaged_report_is_of_no_finished_run(damage, sources, tmp_path):
    run(sources[1:2], tmp_path, "--rules", "none")
    (tmp_path / "report.json").write_text(damage)
    run(sources[1:2], tmp_path, "--rules", "none", "--resume")
    assert json.loads((tmp_path / "report.json").read_text())["read"] == 3


def test_a_file_that_changes_while_it_is_read_is_named_and_nothing_is_made_of_it(tmp_path, monkeypatch):
    source, out, clean = tmp_path / "a.jsonl", tmp_path / "out", steps.clean_chunk
    write(source, [{"text": text(number)} for number in range(3)])

    def changed_after(job):
        with source.open("a") as file:
            file.write('{"text": "half a li')
        return clean(job)

    monkeypatch.setattr(steps, "clean_chunk", changed_after)
    with pytest.raises(SproutError, match="a.jsonl changed while it was read: start again when it is complete"):
        run([str(source)], out, "--rules", "none", "--processes", "1")
    assert not list(out.iterdir())


@pytest.mark.parametrize("damage", ["", "[]", '{"version'])
def test_a_damaged_unfinished_run_is_named(damage, sources, tmp_path):
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "run.json").write_text(damage)
    with pytest.raises(SproutError, match=r"run.json is damaged: remove .*unfinished, and begin anew"):
        run(sources[1:2], tmp_path, "--resume")


def test_damage_to_the_work_of_a_killed_run_is_named(sources, tmp_path, monkeypatch):
    """A copy that was cut off, or a bad disk, would leave documents out, or change them, without a word."""

    def killed(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as now:
        now.setattr("dataset.prepare.steps.write_dropped", killed)
        with pytest.raises(KeyboardInterrupt):
            run(sources, tmp_path, "--rules", "none")
    unfinished = tmp_path / "unfinished"
    work = [path for path in unfinished.rglob("*.*") if path.parent != unfinished or path.name == "repeated.npy"]
    assert {"judged", "lines", "text-judged", "unfinished"} <= {path.parent.name for path in work}
    for path in work:
        whole = path.read_bytes()
        middle = len(whole) // 2
        for damaged in (whole[:middle], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(SproutError, match=f"{path} is damaged: remove .*unfinished, and begin anew"):
                run(sources, tmp_path, "--rules", "none", "--resume")
        path.write_bytes(whole)
    with open(unfinished / "seals.jsonl", "ab") as seals:
        seals.write(b'["judged/0000000.js')  # a kill cut it off
    run(sources, tmp_path, "--rules", "none", "--resume")
    assert not unfinished.exists()
