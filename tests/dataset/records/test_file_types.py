"""The same records from every type of file, and what is said about a file that is damaged or of another kind."""

import bz2
import gzip
import json
import lzma
import os
import time

import pyarrow
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet
import pytest

from dataset.cache.token_cache import build_or_open
from dataset.command_line import parse_sources
from dataset.records.formats import BadLine
from dataset.records.reading import check_file, read_records
from dataset.rows.texts import TEXTS
from model.errors import SproutError

RECORDS = [{"text": f'line {number}, "quoted"\n你好'} for number in range(300)]
LINES = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS).encode()


def zstd(content: bytes) -> bytes:
    return pyarrow.Codec("zstd").compress(content, asbytes=True)


def joined(compress, between: bytes = b"") -> bytes:
    """A file of several parts, as `cat` makes it of compressed ones and pigz, pbzip2 and pzstd write it."""
    return between + compress(LINES[:1000]) + between + compress(LINES[1000:])


SKIPPED = b"\x50\x2a\x4d\x18\x04\x00\x00\x00\x00\x00\x00\x00"  # pzstd writes such a frame before each part


def ipc(path, kind) -> None:
    table = pyarrow.Table.from_pylist(RECORDS)
    with kind(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=100)


def write_table(path, delimiter) -> None:
    table = pyarrow.Table.from_pylist([record | {"id": number} for number, record in enumerate(RECORDS)])
    pyarrow.csv.write_csv(table, path, pyarrow.csv.WriteOptions(delimiter=delimiter))


FILES = {
    "a.jsonl": LINES,
    "a.ndjson": LINES,
    "a.json": LINES,
    "b.json": json.dumps(RECORDS).encode(),
    "c.json": json.dumps(RECORDS, indent=2, ensure_ascii=False).encode("utf-8-sig"),
    "d.json": json.dumps({"version": "1 [a]", "features": [], "Data": RECORDS, "count": 300}).encode(),
    "e.json": json.dumps({"about": {"text": "x"}, "train": RECORDS}, indent=2).encode("utf-8-sig"),
    "b.jsonl": json.dumps({"rows": RECORDS}).encode(),
    "a.jsonl.gz": gzip.compress(LINES),
    "a.jsonl.bz2": bz2.compress(LINES),
    "a.jsonl.xz": lzma.compress(LINES),
    "a.jsonl.zst": zstd(LINES),
    "b.jsonl.gz": joined(gzip.compress),
    "b.jsonl.bz2": joined(bz2.compress),
    "b.jsonl.xz": joined(lzma.compress),
    "b.jsonl.zst": joined(zstd),
    "c.jsonl.zst": joined(zstd, SKIPPED),
    "a.json.gz": gzip.compress(json.dumps(RECORDS).encode()),
    "b.json.xz": lzma.compress(json.dumps({"examples": RECORDS}, indent=1).encode()),
}
TABLES = {
    "a.parquet": lambda path: pyarrow.parquet.write_table(pyarrow.Table.from_pylist(RECORDS), path),
    "a.arrow": lambda path: ipc(path, pyarrow.ipc.new_stream),
    "b.arrow": lambda path: ipc(path, pyarrow.ipc.new_file),
    "a.csv": lambda path: pyarrow.csv.write_csv(pyarrow.Table.from_pylist(RECORDS), path),
    "a.tsv": lambda path: write_table(path, "\t"),
    "b.csv": lambda path: write_table(path, ";"),
    "c.csv": lambda path: write_table(path, "\t"),
    "b.tsv": lambda path: write_table(path, ","),
}


@pytest.mark.parametrize("name", [*FILES, *TABLES])
def test_every_type_gives_the_same_records(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FILES[name]) if name in FILES else TABLES[name](path)
    positions = []
    found = list(read_records(path, positions.append))
    assert [{"text": item.fields["text"]} for item in found] == RECORDS and found[-1].line == len(RECORDS)
    assert positions and positions == sorted(positions) and positions[-1] <= path.stat().st_size


def saved(folder, shards=2):
    """What `Dataset.save_to_disk` of `datasets` writes."""
    folder.mkdir(parents=True)
    table = pyarrow.Table.from_pylist(RECORDS)
    names = [f"data-{number:05}-of-{shards:05}.arrow" for number in range(shards)]
    size = len(RECORDS) // shards
    for number, name in enumerate(names):
        with pyarrow.ipc.new_stream(str(folder / name), table.schema) as writer:
            writer.write_table(table.slice(number * size, size))
    state = {"_data_files": [{"filename": name} for name in names], "_split": "train"}
    (folder / "state.json").write_text(json.dumps(state))
    return folder


def test_a_saved_data_set_is_read_tokenised_and_noticed_when_it_changes(tmp_path, small_tokenizer):
    folder = saved(tmp_path / "saved")
    assert [item.fields for item in read_records(folder)] == RECORDS
    assert parse_sources([str(folder)])[0].path == folder

    def cache():
        return build_or_open(folder, small_tokenizer, TEXTS.cache, cache_dir=tmp_path / "cache", progress=False)

    first = cache()
    assert first.documents == len(RECORDS) and cache().folder == first.folder
    (folder / "data-00001-of-00002.arrow").write_bytes((folder / "data-00000-of-00002.arrow").read_bytes())
    assert cache().folder != first.folder


def test_a_shard_that_was_replaced_by_an_older_one_of_equal_size_is_noticed(tmp_path, small_tokenizer):
    folder = saved(tmp_path / "saved")
    old = time.time_ns() - 3600 * 10**9  # so old that the hash of the folder is remembered
    for path in folder.iterdir():
        os.utime(path, ns=(old, old))

    def cache():
        return build_or_open(folder, small_tokenizer, TEXTS.cache, cache_dir=tmp_path / "cache", progress=False)

    first = cache()
    assert list(tmp_path.glob("cache/content/*.json")) and cache().folder == first.folder
    # As rsync and tar bring a corrected file over: with the time that it had elsewhere.
    corrected, shard = tmp_path / "corrected.arrow", folder / "data-00001-of-00002.arrow"
    corrected.write_bytes(shard.read_bytes().replace("你好".encode(), "再见".encode()))
    os.utime(corrected, ns=(old - 10**9, old - 10**9))
    os.replace(corrected, shard)
    assert cache().folder != first.folder


def test_a_saved_data_set_of_several_splits_or_not_whole(tmp_path):
    inner = saved(tmp_path / "all" / "train")
    (tmp_path / "all" / "dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
    with pytest.raises(SproutError, match="name one of them, such as .*all/train"):
        check_file(tmp_path / "all")
    (inner / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(SproutError, match="is not whole"):
        check_file(inner)


@pytest.mark.parametrize("name", ["a.jsonl.bz2", "a.jsonl.xz", "a.jsonl.zst"])
def test_compressed_files_cut_short(tmp_path, name):
    lines = b"".join(json.dumps({"text": f"{number} {number**7}"}).encode() + b"\n" for number in range(20000))
    packed = {"a.jsonl.bz2": bz2.compress, "a.jsonl.xz": lzma.compress, "a.jsonl.zst": zstd}[name](lines)
    (tmp_path / name).write_bytes(packed[: len(packed) // 2])
    *_, bad = read_records(tmp_path / name)
    assert isinstance(bad, BadLine) and bad.reason.startswith("the compressed data are damaged or cut short")


def test_numbers_of_a_table_are_numbers_where_they_count(tmp_path):
    (tmp_path / "a.csv").write_text("Input,output,score,n\nHi,12,4.5,7\n,x,,\n")
    first, second = read_records(tmp_path / "a.csv")
    assert first.fields == {"input": "Hi", "output": "12", "score": 4.5, "n": "7"} and second.fields == {"output": "x"}
    (tmp_path / "b.csv").write_text("output;score;weight\n4,5;4,5;0,0\n")  # as spreadsheets write decimals
    (only,) = read_records(tmp_path / "b.csv")
    assert only.fields == {"output": "4,5", "score": 4.5, "weight": 0}


@pytest.mark.parametrize("content", ["a,b\n1,2,3\n", 'a,b\n"1,2\n'])
def test_a_table_that_is_damaged(tmp_path, content):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(SproutError, match="cannot be read as a table"):
        list(read_records(tmp_path / "a.csv"))
