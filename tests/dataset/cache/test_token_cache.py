"""The token cache is right or absent, whatever happens to the file, the disk or the process."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from model.errors import SproutError, UsageError
from model.text import tokenizer as texts
from model.text.tokenizer import Tokenizer
from tests.dataset.support import documents_of, leftovers, random_documents, write_jsonl

ROOT = Path(__file__).parents[3]


class CountingTokenizer:
    """A tokenizer that counts the documents it encodes, and can be made to fail at one."""

    def __init__(self, tokenizer: Tokenizer, fail_at: int | None = None, error: BaseException | None = None):
        self.inner, self.encoded, self.fail_at, self.error = tokenizer, 0, fail_at, error

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def encode_batch(self, texts):
        self.encoded += len(texts)
        if self.fail_at is not None and self.encoded >= self.fail_at:
            raise self.error
        return self.inner.encode_batch(texts)


def age(path: Path) -> None:
    """Make the file look as if it had been written a minute ago."""
    stamp = time.time_ns() - 60 * 10**9
    os.utime(path, ns=(stamp, stamp))


def test_a_second_start_reads_nothing(tmp_path, build, tokenizer):
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(50))
    age(path)
    counting = CountingTokenizer(tokenizer)
    first = build(path, counting)
    assert counting.encoded == 50
    # Garbage of the same size, with the times of the file put back by hand: nobody looks.
    stat = path.stat()
    with open(path, "r+b") as file:
        file.write(b"garbage")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert build(path, counting) == first and counting.encoded == 50


def test_an_edited_file_is_tokenised_again(tmp_path, build, tokenizer):
    counting = CountingTokenizer(tokenizer)
    path = tmp_path / "a.jsonl"
    for text in ("abc", "abd", "abe"):  # of one size, written within one tick of a coarse clock
        stream = build(write_jsonl(path, [text]), counting, val_ratio=0).train
        assert documents_of(stream, tokenizer) == [tokenizer.encode(text)]
    age(path)
    build(path, counting, val_ratio=0)
    assert counting.encoded == 3
    build(write_jsonl(path, ["xyz"]), counting, val_ratio=0)
    assert counting.encoded == 4


def test_a_moved_file_is_the_same_file(tmp_path, build, tokenizer):
    counting = CountingTokenizer(tokenizer)
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(50))
    first = build(path, counting)
    moved = build(path.rename(tmp_path / "b.jsonl"), counting)
    assert counting.encoded == 50 and moved.folder == first.folder and "b.jsonl" in moved.summary()


def test_every_setting_has_a_cache_of_its_own(tmp_path, build, one_separator):
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(50))
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_bytes(path.read_bytes() + b"\n\nA text.\n")  # records and a bad line, or two texts
    shutil.copy(mixed, tmp_path / "mixed.txt")
    caches = [
        build(path),
        build(path, one_separator),
        build(path, val_ratio=0.5),
        build(path, on_bad_line="skip"),
        build(mixed, on_bad_line="skip"),
        build(tmp_path / "mixed.txt", on_bad_line="skip"),
    ]
    assert len({cache.folder for cache in caches}) == len(caches)


@pytest.mark.parametrize(
    "damage",
    [
        *("short stream", "long stream", "no stream", "short held out"),
        *("no meta", "half meta", "other meta", "other type", "list"),
    ],
)
def test_a_damaged_cache_is_built_again_and_said_so(tmp_path, build, tokenizer, damage, capsys):
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(50))
    counting = CountingTokenizer(tokenizer)
    cache = build(path, counting)
    expected = cache.train.map().copy()
    stream, meta = cache.train.path, cache.folder / "meta.json"
    {
        "short stream": lambda: os.truncate(stream, stream.stat().st_size - 1),
        "long stream": lambda: os.truncate(stream, stream.stat().st_size + 2),
        "no stream": stream.unlink,
        "short held out": lambda: os.truncate(cache.validation.path, cache.validation.path.stat().st_size - 1),
        "no meta": meta.unlink,
        "half meta": lambda: os.truncate(meta, meta.stat().st_size // 2),
        "other meta": lambda: meta.write_text("{}"),
        "other type": lambda: meta.write_text(meta.read_text().replace('"<u2"', '"zz"')),
        "list": lambda: meta.write_text("[]"),
    }[damage]()
    capsys.readouterr()
    assert np.array_equal(build(path, counting).train.map(), expected)
    assert counting.encoded == 100
    message = capsys.readouterr().err
    assert message == f"the token cache {cache.folder} is damaged: {path} is tokenised again\n"
    assert build(path, counting) == cache and counting.encoded == 100


def test_a_cache_that_was_copied_is_as_good_and_one_that_was_written_to_is_not(tmp_path, build):
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(50))
    expected = build(path).train.map().copy()
    for file in build(path).folder.iterdir():
        os.utime(file, ns=(1, 1))
    cache = build(path)
    assert np.array_equal(cache.train.map(), expected)
    with open(cache.train.path, "r+b") as file:
        file.write(bytes([file.peek()[0] ^ 1]))
    with pytest.raises(SproutError, match="is damaged: train.bin has another checksum; delete this folder"):
        build(path).train.map()


def test_settings_and_files_that_cannot_be(tmp_path, build):
    path = write_jsonl(tmp_path / "a.jsonl", ["a"])
    for settings in (
        {"val_ratio": -0.1},
        {"val_ratio": 1.1},
        {"val_ratio": float("nan")},
        {"on_bad_line": "x"},
    ):
        with pytest.raises(UsageError):
            build(path, **settings)
    with pytest.raises(SproutError, match="there is no such file"):
        build(tmp_path / "b.jsonl")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143), MemoryError()], ids=lambda e: type(e).__name__)
def test_an_interruption_leaves_nothing(tmp_path, build, tokenizer, monkeypatch, error):
    monkeypatch.setattr(texts, "MAX_TEXTS", 10)
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(50))
    with pytest.raises(type(error)):
        build(path, CountingTokenizer(tokenizer, 30, error))
    assert leftovers(tmp_path / "cache") == []
    assert build(path).documents == 50


def test_room_is_not_what_a_folder_or_file_without_rights_lacks(tmp_path, build, tokenizer):
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(5))

    def said(number: int, name: str | None) -> str:
        with pytest.raises(SproutError, match="cannot be tokenised into") as raised:
            build(path, CountingTokenizer(tokenizer, 1, OSError(number, os.strerror(number), name)))
        return str(raised.value).rpartition("; ")[2]

    assert said(errno.ENOSPC, None) == "make room or choose another folder"
    assert said(errno.EROFS, "x/train.bin") == "choose another folder, or allow writing there"
    for number in (errno.EACCES, errno.ENOENT):
        assert said(number, str(path)) == "see that it is there and may be read"


def test_a_file_that_changes_while_it_is_read(tmp_path, build, tokenizer):
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(50))

    class Meddling(CountingTokenizer):
        def encode_batch(self, texts):
            with open(path, "a") as file:
                file.write('{"text": "more"}\n')
            return super().encode_batch(texts)

    with pytest.raises(SproutError, match="changed while it was read"):
        build(path, Meddling(tokenizer))
    assert leftovers(tmp_path / "cache") == []


SLOW_BUILD = """
import resource, signal, sys, time
from dataset.cache.token_cache import build_or_open
from dataset.cache.texts import TextCache
from model.text import tokenizer
from tests.support import make_tokenizer
class Slow:
    def __init__(self): self.inner = make_tokenizer()
    def __getattr__(self, name): return getattr(self.inner, name)
    def encode_batch(self, texts):
        print("encoding", flush=True)
        time.sleep(float(sys.argv[3]))
        return self.inner.encode_batch(texts)
tokenizer.MAX_TEXTS = 10
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # a run has such a handler
if len(sys.argv) > 4:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)
build_or_open(sys.argv[1], Slow(), TextCache, cache_dir=sys.argv[2], progress=False)
"""


def start_build(path: Path, cache_dir: Path, pause: float, *more) -> subprocess.Popen:
    """A process that builds the cache in slow steps; returns when it is at work."""
    command = [sys.executable, "-c", SLOW_BUILD, str(path), str(cache_dir), str(pause), *map(str, more)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "encoding\n", process.stderr.read()
    return process


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, -2), (signal.SIGKILL, -9)])
def test_signals(tmp_path, build, number, code):
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(50))
    process = start_build(path, tmp_path / "cache", 0.5)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == code
    if number != signal.SIGKILL:
        assert leftovers(tmp_path / "cache") == []
    assert build(path).documents == 50  # no lock is left, and what a killed process leaves is cleared away
    assert len(leftovers(tmp_path / "cache")) == 1


def test_the_next_run_removes_what_killed_ones_left_of_other_caches(tmp_path, build, tokenizer):
    first = write_jsonl(tmp_path / "a.jsonl", random_documents(50))
    second = write_jsonl(tmp_path / "b.jsonl", random_documents(50, seed=1))
    age(second)  # so that its hash is remembered, in a folder of notes
    build(second)
    process = start_build(first, tmp_path / "cache", 0.5)
    (left,) = (tmp_path / "cache").glob("*.building")
    build(second)
    assert left.exists()  # a process is at work on it
    process.kill()
    process.communicate(timeout=20)
    (tmp_path / "cache" / "content" / ".note.json.99999999.tmp").touch()
    second.touch()
    age(second)  # another time, so that its hash is noted again
    build(second)
    assert not left.exists() and not list(tmp_path.glob("cache/content/.*"))


def test_what_killed_runs_left_is_not_in_the_way_of_a_cache_that_can_only_be_read(tmp_path, build):
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(50))
    before = build(path)
    (tmp_path / "cache" / "other.building").mkdir()
    (tmp_path / "cache" / "other.lock").mkdir()  # root may open everything but a folder
    assert build(path) == before


def test_a_second_process_waits_for_the_first(tmp_path, build, tokenizer, capsys):
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(50))
    process = start_build(path, tmp_path / "cache", 0.2)
    counting = CountingTokenizer(tokenizer)
    cache = build(path, counting)
    assert process.wait(timeout=20) == 0
    assert counting.encoded == 0 and cache.documents == 50
    assert capsys.readouterr().err == f"waiting: {path} is being tokenised by another process\n"


@pytest.mark.skipif(os.name == "nt", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(500))
    process = start_build(path, tmp_path / "cache", 0, 5000)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    last = errors.strip().splitlines()[-1]
    assert last.startswith(f"model.errors.SproutError: {path} cannot be tokenised into") and "File too large" in last
    assert leftovers(tmp_path / "cache") == []
