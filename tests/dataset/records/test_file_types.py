"""The same records from every type of file, and what is said about a file that is damaged or of another kind."""

import bz2
import gzip
import json
import lzma
import os
import shlex
import shutil
import subprocess
import time

import pyarrow
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet
import pytest

from dataset.cache.token_cache import build_or_open
from dataset.command_line import parse_sources
from dataset.records.formats import BadLine
from dataset.records.odd_lines import refused
from dataset.records.reading import check_file, read_records
from dataset.rows.texts import TEXTS
from model.errors import SproutError

RECORDS = [{"text": f'line {number}, "quoted"\n你好'} for number in range(300)]
LINES = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS).encode()


def zstd(content: bytes) -> bytes:
    return pyarrow.Codec("zstd").compress(content, asbytes=True)


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


def test_an_array_longer_than_a_line_may_be(tmp_path, monkeypatch):
    monkeypatch.setattr("dataset.records.json_array.CHUNK", 64)  # elements begin and end anywhere in a chunk
    monkeypatch.setattr("dataset.records.json_array.MAX_LINE_BYTES", 1000)
    path = tmp_path / "a.json"
    path.write_text(json.dumps([*RECORDS, 3, {"text": "end"}]))
    *found, number, end = read_records(path)
    assert [item.fields for item in found] == RECORDS and end.fields == {"text": "end"}
    assert (number.line, number.reason) == (len(RECORDS) + 1, "not a JSON object")


TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]


@pytest.mark.parametrize(
    "content, expected",
    [
        ({"messages": TURNS}, [{"messages": TURNS}]),  # one conversation
        ({"conversations": [TURNS, TURNS]}, [{"messages": TURNS}] * 2),
        ({"prompt": "a", "tools": [{"text": "b"}]}, [{"prompt": "a", "tools": [{"text": "b"}]}]),
        (
            {"conversations": [{"text": "b"}], "tools": "c"},
            [{"conversations": [{"text": "b"}], "tools": "c"}],
        ),  # a bad one
        ({"system": [{"text": "b"}]}, [{"system": [{"text": "b"}]}]),
        (
            {"input": "a", "choices": [{"text": "b", "rank": 1}]},
            [{"input": "a", "choices": [{"text": "b", "rank": 1}]}],
        ),
    ],
)
def test_an_object_is_a_record_or_holds_them(tmp_path, content, expected):
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert [item.fields for item in read_records(tmp_path / "a.json")] == expected


def test_two_lists_of_records_in_one_object_are_named(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"train": RECORDS[:3], "test": RECORDS[3:5]}, indent=1))
    with pytest.raises(SproutError, match=r'several lists of records \("train", "test"\): save one of them as a file'):
        list(read_records(tmp_path / "a.json"))


@pytest.mark.parametrize("beside", [{"system": "Be brief."}, {"tools": [{"name": "f"}]}, {"train": False}])
def test_what_stands_beside_a_list_of_records_is_no_part_of_them(tmp_path, beside):
    (tmp_path / "a.json").write_text(json.dumps({**beside, "version": 1, "data": RECORDS[:3]}, indent=1))
    with pytest.raises(SproutError, match=f'with "{next(iter(beside))}" beside its list of records'):
        list(read_records(tmp_path / "a.json"))


def test_a_key_that_an_object_has_twice_loses_no_records(tmp_path):
    (tmp_path / "a.json").write_text('{"data": [{"text": "a"}],\n "data": [{"text": "b"}]}')
    assert all(isinstance(item, BadLine) for item in read_records(tmp_path / "a.json"))


@pytest.mark.parametrize(
    "content, line, detail",
    [
        ('[{"text": "a"}, {"text": "b"', 2, "column"),
        ('[{"text": "a"}, {"text": "b"}', 3, "is the file cut short?"),
        ('[{"text": "a"} {"text": "b"}]', 2, "expected ','"),
        ('[\n{"text": NaN}]', 1, "NaN is not a JSON value"),
        ('[\n{"text": "a"}]\n[\n{"text": "b"}]', 2, "more follows the array"),
    ],
)
def test_an_array_that_is_damaged(tmp_path, content, line, detail):
    (tmp_path / "a.json").write_text(content)
    *_, bad = read_records(tmp_path / "a.json")
    assert isinstance(bad, BadLine) and (bad.line, bad.reason) == (line, "not valid JSON") and detail in bad.detail


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


@pytest.mark.parametrize("content", ["text,id,text\none,2,three\n", "text ,text\na,b\n"])
def test_two_columns_of_one_name_are_refused(tmp_path, content):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(SproutError, match="a.csv: two columns are called 'text': rename one of them"):
        list(read_records(tmp_path / "a.csv"))
    table = pyarrow.table([["a"], ["b"]], names=["text", "text"])
    with pyarrow.ipc.new_file(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(SproutError, match="a.arrow: two columns are called 'text': rename one of them"):
        list(read_records(tmp_path / "a.arrow"))
    (tmp_path / "b.csv").write_text("text,,,id,id\na,b,c,1,1\n")  # columns without a name are not read, nor is an id
    (only,) = read_records(tmp_path / "b.csv")
    assert only.fields == {"text": "a", "id": "1"}


@pytest.mark.parametrize("content", ["a,b\n1,2,3\n", 'a,b\n"1,2\n'])
def test_a_table_that_is_damaged(tmp_path, content):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(SproutError, match="cannot be read as a table"):
        list(read_records(tmp_path / "a.csv"))


@pytest.mark.parametrize("encoding", ["gb18030", "big5"])
@pytest.mark.parametrize("name, before", [("a.jsonl", '{"text": "'), ("a b.csv", "text\n")])
def test_chinese_text_in_another_encoding_is_told_how_to_convert(tmp_path, encoding, name, before):
    path = tmp_path / name
    after = '"}' if name == "a.jsonl" else ""
    path.write_bytes(f"{before}從前有一個小女孩，她很喜歡讀書。{after}\n".encode(encoding))
    (bad,) = read_records(path)
    command = shlex.split(bad.detail.partition("convert it: ")[2])
    assert command == ["iconv", "-f", encoding.upper(), "-t", "UTF-8", str(path), ">", f"utf8_{name}"]


@pytest.mark.skipif(not shutil.which("iconv") or not shutil.which("gzip"), reason="there is no iconv or no gzip")
def test_a_compressed_file_is_converted_by_the_command_that_is_told(tmp_path):
    path, line = tmp_path / "a b.jsonl.gz", '{"text": "从前有一个小女孩，她很喜欢读书。"}\n'
    path.write_bytes(gzip.compress(line.encode("gbk")))
    (bad,) = read_records(path)
    subprocess.run(bad.detail.partition("convert it: ")[2], shell=True, check=True, cwd=tmp_path)
    assert (tmp_path / "utf8_a b.jsonl").read_text("utf-8") == line


@pytest.mark.parametrize("name, before, after", [("a.jsonl", '{"text": "', '"}'), ("a.csv", "text,id\n", ",1")])
def test_a_line_of_few_characters_is_in_the_encoding_of_its_file(tmp_path, name, before, after):
    texts = "好", "今天天气很好，我们去公园散步。"
    lines = before + f"{after}\n{before if name == 'a.jsonl' else ''}".join(texts) + f"{after}\n"
    (tmp_path / name).write_bytes(lines.encode("gbk"))
    assert ["iconv -f GB18030" in bad.detail for bad in read_records(tmp_path / name)] == [True, True]
    (tmp_path / name).write_bytes(lines.replace(texts[1], "fine").encode("gbk"))
    assert ["iconv" in getattr(each, "detail", "") for each in read_records(tmp_path / name)] == [False, False]


@pytest.mark.parametrize(
    "content, why",
    [
        (
            "内容,来源\nplain,web\n".encode("gbk"),
            r"it looks like GB18030; convert it: iconv -f GB18030 .* > utf8_a\.csv",
        ),
        ("标题,text\n好,今天天气很好\n".encode("gbk"), "iconv -f GB18030"),
        ("text,id\n一,1\n".encode("utf-16"), "it is UTF-16 or UTF-32: save it as UTF-8"),
        ("Größe,text\n1,a\n".encode("latin-1"), r"byte 3 of the line is 0xf6\): save the file as UTF-8"),
    ],
)
def test_names_of_columns_in_another_encoding_are_refused_with_what_converts_them(tmp_path, content, why):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(SproutError, match=f"a.csv:1: not .*{why}"):
        list(read_records(tmp_path / "a.csv"))


def test_an_array_of_many_small_elements_is_read_in_little_time(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([{"text": "一"}] * 200_000, ensure_ascii=False), encoding="utf-8")
    begun = time.process_time()
    assert sum(1 for _ in read_records(tmp_path / "a.json")) == 200_000
    assert time.process_time() - begun < 6  # it took 20 times that while what was left was copied for each


def write_as(path, record: dict) -> None:
    """The file of one record, of the kind that its name says."""
    table = pyarrow.Table.from_pylist([record])
    if path.suffix in (".json", ".jsonl"):
        path.write_text(json.dumps([record] if path.suffix == ".json" else record))
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    elif path.suffix == ".arrow":
        with pyarrow.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
    else:
        pyarrow.csv.write_csv(table, path)


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "arrow", "csv"])
def test_two_keys_that_differ_in_case_alone_are_refused_where_a_value_would_be_lost(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    write_as(path, {"Text": "one", "text": "two"})
    assert [str(bad) for bad in read_records(path) if isinstance(bad, BadLine)] == [
        f'{path}:1: two keys are the same but for upper case ("text": rename one of them)'
    ]
    beside = {"ID": "1", "id": "2"}  # which nobody reads
    for texts in ({"Text": "one", "text": None}, {"Text": None, "text": "one"}, {"TEXT": "one", "Text": "one"}):
        write_as(path, beside | texts)
        (record,) = read_records(path)
        assert record.fields == beside | {"text": "one"}


@pytest.mark.parametrize("members", ['"text": "one", "text": "two"', '"text": "a", "meta": [{"x": 1, "x": 2}]'])
def test_a_key_that_stands_twice_is_refused_where_a_value_would_be_lost(tmp_path, members):
    key = "text" if "two" in members else "x"
    reason = f'a key stands twice in one object ("{key}": leave one of the two out)'
    good, bad = '{"text": "good"}', f"{{{members}}}"
    (tmp_path / "a.jsonl").write_text(f"{good}\n{bad}\n{good}\n")
    (tmp_path / "a.json").write_text(f"[{good},\n{bad}, {good}]")
    (tmp_path / "b.json").write_text(f'{{"version": 1, "data": [{good},\n{bad}, {good}]}}')
    for name in ("a.jsonl", "a.json", "b.json"):
        first, found, last = read_records(tmp_path / name)
        assert str(found) == f"{tmp_path / name}:2: {reason}"
        assert first.fields == last.fields == {"text": "good"}


@pytest.mark.parametrize("members", ['"text": "one"', '"text": null', '"id": 2'])
def test_a_key_that_stands_twice_does_no_harm_where_nothing_is_lost(tmp_path, members):
    record = f'{{"id": 1, "text": "one", {members}}}'
    (tmp_path / "a.jsonl").write_text(f"{record}\n")
    (tmp_path / "a.json").write_text(f"[{record}]")
    for name in ("a.jsonl", "a.json"):
        (found,) = read_records(tmp_path / name)
        assert found.fields == {"id": 1, "text": "one"}


def test_one_short_line_in_gbk_does_not_make_a_file_in_utf_8_another(tmp_path):
    good = '{"text": "今天天气很好，我们去公园散步。"}\n'.encode()
    (tmp_path / "a.jsonl").write_bytes(5 * good + '{"text": "好"}\n'.encode("gbk") + good)
    (bad,) = [each for each in read_records(tmp_path / "a.jsonl") if isinstance(each, BadLine)]
    assert bad.line == 6 and "byte 11 of the line" in bad.detail
    assert ": correct it, save the file as UTF-8, or leave such lines out" in str(refused(bad))


@pytest.mark.parametrize("before", ["", " "])
def test_a_long_array_in_gbk_is_told_how_to_convert(tmp_path, before):
    """Whatever byte of a character the first part of the file ends with."""
    text = json.dumps([{"text": "今天天气很好，我们去公园散步。" * 40_000}], ensure_ascii=False)
    (tmp_path / "a.json").write_bytes(before.encode() + text.encode("gbk"))
    (bad,) = read_records(tmp_path / "a.json")
    assert "iconv -f GB18030" in bad.detail
