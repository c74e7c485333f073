"""The token cache: right or absent, whatever happens to the file, the disk or the process."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from dataset import tokenising
from dataset.cache import build_or_open
from dataset.streams import StreamWriter
from model.errors import SproutError, UsageError
from model.tokenizer import Tokenizer
from tests.dataset.support import random_documents, write_jsonl

ROOT = Path(__file__).parents[2]


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


@pytest.fixture
def build(tmp_path, tokenizer):
    def build(path, tokenizer=tokenizer, **settings):
        return build_or_open(path, tokenizer, cache_dir=tmp_path / "cache", progress=False, **settings)

    return build


def documents_of(stream, tokenizer) -> list[list[int]]:
    """The documents of a stream as ids, without BOS and EOS."""
    tokens = stream.map().tolist()
    documents, start = [], 0
    for place, token in enumerate(tokens):
        if token == tokenizer.eos_id:
            documents.append(tokens[start + 1 : place])
            assert tokens[start] == tokenizer.bos_id
            start = place + 1
    assert start == len(tokens)
    return documents


def leftovers(folder: Path) -> list[str]:
    return [
        path.name for path in folder.iterdir() if path.name not in ("content",) and path.suffix != ".lock"
    ]


def age(path: Path) -> None:
    """Make the file look as if it had been written a minute ago."""
    stamp = time.time_ns() - 60 * 10**9
    os.utime(path, ns=(stamp, stamp))


# What is in it


def test_documents_are_stored_as_bos_ids_eos(tmp_path, build, tokenizer):
    documents = random_documents(120)
    cache = build(write_jsonl(tmp_path / "a.jsonl", documents), val_ratio=0)
    assert documents_of(cache.train, tokenizer) == [tokenizer.encode(text) for text in documents]
    assert cache.validation.size.documents == cache.validation.size.tokens == 0
    assert cache.documents == 120 and cache.format == "text" and cache.bad_lines_path is None
    assert cache.bytes == sum(len(text.encode()) for text in documents)
    assert cache.tokens == cache.train.map().size == cache.train.size.text_tokens + 2 * 120
    assert cache.bytes_per_token == pytest.approx(
        cache.bytes / sum(map(len, map(tokenizer.encode, documents)))
    )
    summary = cache.summary()
    assert "format text, 120 documents" in summary and f"{cache.tokens:,} tokens" in summary


def test_all_kinds_of_file_give_the_same_tokens(tmp_path, build):
    documents = [f"document {i}\nof two lines" for i in range(30)]
    lines = write_jsonl(tmp_path / "a.jsonl", documents)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.read_bytes()))
    (tmp_path / "a.txt").write_text("\n\n".join(documents))
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress((tmp_path / "a.txt").read_bytes()))
    pyarrow.parquet.write_table(pyarrow.table({"text": documents}), tmp_path / "a.parquet")
    expected = build(lines, val_ratio=0).train.map()
    for name in ("a.jsonl.gz", "a.txt", "a.txt.gz", "a.parquet"):
        assert np.array_equal(build(tmp_path / name, val_ratio=0).train.map(), expected), name


def test_many_small_batches_give_what_one_gives(tmp_path, build, monkeypatch):
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(100))
    expected = build(path).train.map()
    monkeypatch.setattr(tokenising, "BATCH_CHARACTERS", 100)
    monkeypatch.setattr(tokenising, "BATCH_DOCUMENTS", 3)
    again = write_jsonl(tmp_path / "b.jsonl", [*random_documents(100), "one more"])
    assert np.array_equal(build(again).train.map()[: len(expected)], expected)


# Held out


def test_duplicates_are_on_one_side_and_order_does_not_matter(tmp_path, build, tokenizer):
    documents = random_documents(300) * 2
    cache = build(write_jsonl(tmp_path / "a.jsonl", documents), val_ratio=0.2)
    train, held_out = documents_of(cache.train, tokenizer), documents_of(cache.validation, tokenizer)
    assert len(train) + len(held_out) == 600 and 60 < len(held_out) < 180
    assert not {tuple(ids) for ids in train} & {tuple(ids) for ids in held_out}
    backwards = build(write_jsonl(tmp_path / "b.jsonl", documents[::-1]), val_ratio=0.2)
    assert sorted(documents_of(backwards.validation, tokenizer)) == sorted(held_out)


def test_the_held_out_part_is_capped(tmp_path, build, monkeypatch):
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(500))
    monkeypatch.setattr(tokenising, "MAX_VALIDATION_BYTES", path.stat().st_size // 20)
    assert 5 < build(path, val_ratio=0.5).validation.size.documents < 60
    assert build(path, val_ratio=1).train.size.documents == 0  # --val_path: all of it, whatever its size


@pytest.mark.parametrize("count, held_out", [(9, 0), (10, 1)])
def test_a_small_file_gives_its_last_document(tmp_path, build, tokenizer, count, held_out):
    documents = random_documents(count)
    cache = build(write_jsonl(tmp_path / "a.jsonl", documents), val_ratio=1e-6)
    encoded = [tokenizer.encode(text) for text in documents]
    assert documents_of(cache.train, tokenizer) == encoded[: count - held_out]
    assert documents_of(cache.validation, tokenizer) == encoded[count - held_out :]
    assert cache.documents == count and cache.bytes == sum(len(text.encode()) for text in documents)


def test_a_file_is_never_held_out_as_a_whole(tmp_path, build):
    cache = build(write_jsonl(tmp_path / "a.jsonl", ["the only one"] * 3), val_ratio=1 - 1e-9)
    assert cache.train.size.documents == 3 and cache.validation.size.documents == 0


@pytest.mark.parametrize(
    "bos, eos, expected", [(1, 2, [[1, 7, 2], [1, 8, 9, 2]]), (0, 0, [[0, 7, 0], [0, 8, 9, 0]])]
)
def test_moving_the_last_document(tmp_path, bos, eos, expected):
    with (
        StreamWriter(tmp_path / "a", "<u2", bos, eos) as a,
        StreamWriter(tmp_path / "b", "<u2", bos, eos) as b,
    ):
        a.add([7], 3)
        a.add([8, 9], 5)
        a.move_last(b)
        streams = a.finish(), b.finish()
    assert [stream.map().tolist() for stream in streams] == expected
    assert [stream.size.bytes for stream in streams] == [3, 5] and all(
        stream.is_whole() for stream in streams
    )


# Once


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
    (tmp_path / "a.txt").write_bytes(path.read_bytes())
    caches = [
        build(path),
        build(path, one_separator),
        build(path, val_ratio=0.5),
        build(path, on_bad_line="skip"),
        build(tmp_path / "a.txt"),
    ]
    assert len({cache.folder for cache in caches}) == len(caches)


@pytest.mark.parametrize(
    "damage", ["short stream", "long stream", "no stream", "no meta", "half meta", "other meta"]
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
        "no meta": meta.unlink,
        "half meta": lambda: os.truncate(meta, meta.stat().st_size // 2),
        "other meta": lambda: meta.write_text("{}"),
    }[damage]()
    capsys.readouterr()
    assert np.array_equal(build(path, counting).train.map(), expected)
    assert counting.encoded == 100
    message = capsys.readouterr().err
    assert message == f"the token cache {cache.folder} is damaged: {path} is tokenised again\n"
    assert build(path, counting) == cache and counting.encoded == 100


# Bad lines

BAD = ['{"text": 3}', '{"text": "a\\ud800"}', "nonsense", '{"text": " "}', '{"body": "a"}', '{"text": null}']


def test_stop_names_file_line_and_remedy(tmp_path, build):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "good"}\n\n' + BAD[0] + "\n")
    with pytest.raises(SproutError) as caught:
        build(path)
    assert str(caught.value).startswith(f'{path}:3: "text" is not a string (found int)')
    assert str(caught.value).endswith("--on_bad_line skip")
    assert leftovers(tmp_path / "cache") == []


def test_skip_counts_and_lists_what_it_left_out(tmp_path, build, tokenizer):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(['{"text": "first"}', *BAD, '{"text": "last"}']))
    for _ in range(2):  # built, then opened
        cache = build(path, val_ratio=0, on_bad_line="skip")
        assert documents_of(cache.train, tokenizer) == [tokenizer.encode("first"), tokenizer.encode("last")]
        assert cache.bad_lines == {
            '"text" is not a string': 2,
            '"text" contains half a surrogate pair': 1,
            "not valid JSON": 1,
            '"text" is empty': 1,
            'the key "text" is missing': 1,
        }
        assert 'left out 6 bad lines (2 "text" is not a string;' in cache.summary()
        listed = [json.loads(line) for line in cache.bad_lines_path.read_text().splitlines()]
        assert [entry["line"] for entry in listed] == [2, 3, 4, 5, 6, 7]
        assert {entry["file"] for entry in listed} == {str(path)}
        assert listed[0]["reason"] == '"text" is not a string (found int)'


def test_an_unknown_shape_shows_keys_and_accepted_shapes(tmp_path, build):
    path = tmp_path / "a.jsonl"
    path.write_text('{"instruction": "a", "output": "b"}\n')
    with pytest.raises(
        SproutError, match=r'a.jsonl:1: .*keys: instruction, output; accepted: {"text": "..."}'
    ):
        build(path)
    path.write_text(json.dumps({f"{'long' * 50}\n{i}": i for i in range(1000)}))
    with pytest.raises(SproutError) as caught:
        build(path)
    assert len(str(caught.value)) < 1000 + len(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content, message", [("\n\n", "holds no document"), ("x\ny\n", "2 bad lines: the first is")]
)
def test_a_file_without_documents(tmp_path, build, content, message):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(SproutError, match=message):
        build(tmp_path / "a.jsonl", on_bad_line="skip")
    assert leftovers(tmp_path / "cache") == []


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


# Interrupted


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(143), MemoryError()], ids=lambda e: type(e).__name__
)
def test_an_interruption_leaves_nothing(tmp_path, build, tokenizer, monkeypatch, error):
    monkeypatch.setattr(tokenising, "BATCH_DOCUMENTS", 10)
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(50))
    with pytest.raises(type(error)):
        build(path, CountingTokenizer(tokenizer, 30, error))
    assert leftovers(tmp_path / "cache") == []
    assert build(path).documents == 50


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
import resource, sys, time
from dataset import tokenising
from dataset.cache import build_or_open
from tests.support import make_tokenizer
class Slow:
    def __init__(self): self.inner = make_tokenizer()
    def __getattr__(self, name): return getattr(self.inner, name)
    def encode_batch(self, texts):
        print("encoding", flush=True)
        time.sleep(float(sys.argv[3]))
        return self.inner.encode_batch(texts)
tokenising.BATCH_DOCUMENTS = 10
if len(sys.argv) > 4:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)
build_or_open(sys.argv[1], Slow(), cache_dir=sys.argv[2], progress=False)
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


def test_a_second_process_waits_for_the_first(tmp_path, build, tokenizer, capsys):
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(50))
    process = start_build(path, tmp_path / "cache", 0.2)
    counting = CountingTokenizer(tokenizer)
    cache = build(path, counting)
    assert process.wait(timeout=20) == 0
    assert counting.encoded == 0 and cache.documents == 50
    assert capsys.readouterr().err == f"waiting: {path} is being tokenised elsewhere\n"


@pytest.mark.skipif(os.name == "nt", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(500))
    process = start_build(path, tmp_path / "cache", 0, 5000)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    last = errors.strip().splitlines()[-1]
    assert (
        last.startswith(f"model.errors.SproutError: {path} cannot be tokenised into")
        and "File too large" in last
    )
    assert leftovers(tmp_path / "cache") == []


def test_the_choice_of_held_out_documents_never_changes():
    # Another choice would make new validation figures incomparable with old ones: then raise LAYOUT.
    picked = [i for i in range(200) if tokenising.is_held_out(f"document {i}".encode(), 0.05)]
    assert picked == [73, 95, 116, 149, 166, 189]
