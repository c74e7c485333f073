"""What becomes of a file's documents: token streams, the part held out, bad lines."""

import gzip
import json
import os

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from dataset.cache import folder, token_cache
from dataset.cache.arrays import SummedFile
from dataset.cache.texts import TextCache
from dataset.cache.token_cache import held_out_share
from dataset.records import documents, reading
from model.errors import SproutError
from model.text import tokenizer as texts
from tests.dataset.support import documents_of, leftovers, random_documents, write_jsonl


def test_documents_are_stored_as_bos_ids_eos(tmp_path, build, tokenizer):
    documents = random_documents(120)
    cache = build(write_jsonl(tmp_path / "a.jsonl", documents), val_ratio=0)
    assert documents_of(cache.train, tokenizer) == [tokenizer.encode(text) for text in documents]
    assert cache.validation.size.documents == cache.validation.size.tokens == 0
    assert cache.documents == 120 and cache.format == "text" and not (cache.folder / "bad_lines.jsonl").exists()
    assert cache.bytes == sum(len(text.encode()) for text in documents)
    assert cache.tokens == cache.train.map().size == cache.train.size.text_tokens + 2 * 120
    assert cache.bytes_per_token == pytest.approx(cache.bytes / sum(map(len, map(tokenizer.encode, documents))))
    summary = cache.summary()
    assert "format text, 120 documents" in summary and f"{cache.tokens:,} tokens" in summary


def test_what_stands_between_documents_stands_for_no_bytes(tmp_path, build, one_separator):
    """Their texts are a token a byte; one token stands before the first, and one behind each."""
    cache = build(write_jsonl(tmp_path / "a.jsonl", ["nine char"] * 20), one_separator, val_ratio=0)
    assert cache.tokens == 20 * 10 + 1 and cache.bytes_per_token == pytest.approx(1, abs=0.01)


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
    monkeypatch.setattr(texts, "MAX_CHARACTERS", 100)
    monkeypatch.setattr(texts, "MAX_TEXTS", 3)
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


def test_all_files_together_are_held_out_to_a_limit(tmp_path):
    limit = token_cache.MAX_VALIDATION_BYTES

    def share(name, size, count=1):
        paths = [tmp_path / f"{number}.{name}" for number in range(count)]
        for path in paths:
            path.touch()
            os.truncate(path, size)
        return held_out_share(paths, 0.01)

    assert share("jsonl", 50 * limit) == 0.01
    assert limit / 2 < share("jsonl", 1000 * limit) * 1000 * limit <= limit
    assert share("jsonl", 50 * limit, count=20) == share("jsonl", 1000 * limit) == share("jsonl", 1010 * limit)
    for packed in ("jsonl.gz", "jsonl.bz2", "jsonl.xz", "jsonl.zst", "parquet", "JSONL.GZ"):
        assert share(packed, 250 * limit) == share("jsonl", 1000 * limit)


def test_a_document_of_two_files_is_on_the_same_side_in_both(tmp_path, build, tokenizer):
    both, more = random_documents(300), random_documents(900, seed=1)
    paths = [write_jsonl(tmp_path / "a.jsonl", both), write_jsonl(tmp_path / "b.jsonl", both + more)]
    share = held_out_share(paths, 0.2)
    caches = [build(path, val_ratio=share) for path in paths]
    train, held_out = (
        {tuple(ids) for cache in caches for ids in documents_of(getattr(cache, name), tokenizer)}
        for name in ("train", "validation")
    )
    assert held_out and not train & held_out


@pytest.mark.parametrize("count, held_out", [(1, 0), (9, 0), (10, 1)])
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


def test_the_choice_of_held_out_documents_never_changes():
    # Another choice would make new validation figures incomparable with old ones: then raise LAYOUT.
    numbers = [token_cache.content_number(f"document {i}".encode()) for i in range(200)]
    picked = [i for i, number in enumerate(numbers) if token_cache.is_held_out(number, 0.05)]
    assert picked == [73, 95, 116, 149, 166, 189]


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
        listed = [json.loads(line) for line in (cache.folder / "bad_lines.jsonl").read_text().splitlines()]
        assert [entry["line"] for entry in listed] == [2, 3, 4, 5, 6, 7]
        assert {entry["file"] for entry in listed} == {str(path)}
        assert (listed[0]["reason"], listed[0]["detail"]) == ('"text" is not a string', "found int")


def test_an_unknown_shape_shows_keys_and_accepted_shapes(tmp_path, build):
    path = tmp_path / "a.jsonl"
    path.write_text('{"instruction": "a", "output": "b"}\n')
    with pytest.raises(SproutError, match=r'a.jsonl:1: .*keys: instruction, output; accepted: {"text": "..."}'):
        build(path)
    path.write_text(json.dumps({f"{'long' * 50}\n{i}": i for i in range(1000)}))
    with pytest.raises(SproutError) as caught:
        build(path)
    assert len(str(caught.value)) < 1000 + len(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content, message", [("\n\n", "holds no document"), ("x\ny\n", "2 bad lines: the first is")])
def test_a_file_without_documents(tmp_path, build, content, message):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(SproutError, match=message):
        build(tmp_path / "a.jsonl", on_bad_line="skip")
    assert leftovers(tmp_path / "cache") == []


@pytest.mark.skipif(os.name != "posix", reason="a limit on the size of files stands for a full disk")
def test_what_a_full_disk_leaves_open_is_closed_without_a_word(tmp_path):
    """Python 3.13 prints the error of a file that it has to close itself, behind the sentence of the run."""
    import resource

    files, before = [SummedFile(tmp_path / name) for name in "ab"], resource.getrlimit(resource.RLIMIT_FSIZE)
    for file in files:
        file.write(b"held in memory yet")
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, before[1]))
    try:
        for file in files:
            file.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("progress, bars", [(True, [True, True]), (None, [False, True]), (False, [False, False])])
def test_whoever_builds_a_cache_shows_it(tmp_path, tokenizer, monkeypatch, progress, bars):
    """All processes of a run look at the file, which only one shows; one builds, and the others wait for it."""
    shown, bar_over = [], reading.bar_over

    def noted(*args, **settings):
        shown.append(settings["shown"])
        return bar_over(*args, **settings)

    for module in (folder, documents):
        monkeypatch.setattr(module, "bar_over", noted)
    path = write_jsonl(tmp_path / "a.jsonl", random_documents(12))
    token_cache.build_or_open(path, tokenizer, TextCache, cache_dir=tmp_path / "cache", progress=progress)
    assert shown == bars
