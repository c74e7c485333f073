"""Hostile files: each gives one sentence with file and line, and the good lines around it survive."""

import gzip
import json
import tracemalloc

import pyarrow.parquet
import pytest

from dataset.records import reading
from dataset.records.formats import BadLine, Record
from dataset.records.reading import check_file, read_records
from model.errors import SproutError, UsageError

GOOD = b'{"text": "one"}\n'


def write(folder, name: str, content: bytes):
    path = folder / name
    path.write_bytes(content)
    return path


def texts(items) -> list[str]:
    return [item.fields["text"] for item in items if isinstance(item, Record)]


def bad_lines(items) -> list[BadLine]:
    return [item for item in items if isinstance(item, BadLine)]


BAD_LINES = {
    "bad JSON": (b'{"text": "a"\n', "not valid JSON"),
    "two values": (b'{"text": "a"} {"text": "b"}\n', "not valid JSON"),
    "NaN": (b'{"text": "a", "score": NaN}\n', "NaN is not a JSON value"),
    "infinity": (b'{"text": "a", "score": -Infinity}\n', "-Infinity is not a JSON value"),
    "an endless integer": (b'{"text": "a", "n": ' + b"9" * 5000 + b"}\n", "not valid JSON"),
    "nesting": (b'{"a": ' + b"[" * 200_000 + b"\n", "not valid JSON"),
    "array": (b'["a"]\n', "not a JSON object (found an array)"),
    "string": (b'"a"\n', "not a JSON object (found a string)"),
    "number": (b"3\n", "not a JSON object (found a number)"),
    "boolean": (b"true\n", "not a JSON object (found a boolean)"),
    "null": (b"null\n", "not a JSON object (found null)"),
    "not UTF-8": ('{"text": "中文"}\n'.encode("gb18030"), "not UTF-8 (byte 11 of the line is 0xd6)"),
    "UTF-16": ('{"text": "a"}\n'.encode("utf-16-be"), "contains a NUL byte"),
    "NUL": (b'{"text": "a\0b"}\n', "contains a NUL byte"),
    "raw control character": (b'{"text": "a\x01b"}\n', "not valid JSON (Invalid control character"),
}


@pytest.mark.parametrize("line, message", BAD_LINES.values(), ids=BAD_LINES)
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
def test_a_bad_line_is_reported_where_it_is(tmp_path, line, message, zipped):
    content = GOOD + line + GOOD
    content = gzip.compress(content) if zipped else content
    path = write(tmp_path, "a.jsonl.gz" if zipped else "a.jsonl", content)
    items = list(read_records(path))
    (bad,) = bad_lines(items)
    assert str(bad).startswith(f"{path}:2: ") and message in str(bad)
    assert "\n" not in str(bad) and len(str(bad)) < 300 + len(str(path))
    after = [item for item in items if isinstance(item, Record) and item.line > 2]
    assert texts(items)[0] == "one" and texts(after)[-1] == "one"


GOOD_LINES = {
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "CRLF": b'{"text": "one"}\r\n',
    "blank lines": b"\n  \n" + GOOD + b"\r\n\n",
    "no line end": b'{"text": "one"}',
    "upper-case key": b'{"TEXT": "one"}\n',
    "white space": b'  \t{"text": "one"}  \n',
    "escapes": b'{"text": "\\u006fne"}\n',
}


@pytest.mark.parametrize("content", GOOD_LINES.values(), ids=GOOD_LINES)
def test_harmless_variations_are_accepted(tmp_path, content):
    items = list(read_records(write(tmp_path, "a.jsonl", content)))
    assert not bad_lines(items) and texts(items) == ["one"]


def test_line_numbers_count_blank_lines(tmp_path):
    items = list(read_records(write(tmp_path, "a.jsonl", GOOD + b"\n\n" + GOOD)))
    assert [item.line for item in items] == [1, 4]


def test_an_unfinished_last_line_is_named_as_such(tmp_path):
    items = list(read_records(write(tmp_path, "a.jsonl", GOOD + b'{"text": "tw')))
    (bad,) = bad_lines(items)
    assert bad.line == 2 and "is the file cut short?" in bad.detail


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt"])
def test_a_line_without_end_costs_a_bounded_memory(tmp_path, name):
    path = tmp_path / name
    limit = reading.MAX_LINE_BYTES
    with open(path, "wb") as file:
        begins = b'{"text": "' if name == "a.jsonl" else b"It begins "
        file.write(begins + b"x" * (limit - 14) + b'"}\n\n')  # as long as allowed
        for _ in range(8):
            file.write(b"y" * limit)
        file.write(b"\n\n" + GOOD)
    tracemalloc.start()
    items = [(item.line, getattr(item, "reason", "good")) for item in read_records(path)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [line for line, _ in items] == [1, 3, 5]
    assert [reason for _, reason in items] == ["good", "the line is longer than 10 MiB", "good"]
    assert peak < 6 * limit


@pytest.mark.parametrize("cut", [1, 8, 20, 400], ids=lambda n: f"{n} bytes short")
def test_a_gz_file_cut_short(tmp_path, cut):
    lines = b"".join(json.dumps({"text": f"{i} {i**7}"}).encode() + b"\n" for i in range(500))
    path = write(tmp_path, "a.jsonl.gz", gzip.compress(lines)[:-cut])
    *good, last = read_records(path)
    assert isinstance(last, BadLine) and last.reason.startswith("the compressed data are damaged or cut short")
    assert last.line == len(good) + 1 and not bad_lines(good)


def test_a_gz_file_with_a_damaged_middle_or_tail(tmp_path):
    content = bytearray(gzip.compress(GOOD * 500))
    wrong_sum = content[:-8] + b"\0\0\0\0" + content[-4:]
    for name, damaged in {"sum": wrong_sum, "tail": content + b"garbage", "plain": GOOD}.items():
        items = list(read_records(write(tmp_path, f"{name}.jsonl.gz", bytes(damaged))))
        assert bad_lines(items) == items[-1:], name


def test_text_blocks(tmp_path):
    content = "\ufeff甲\n乙\r\n\n \t\n\n丙\n\n".encode() + b"\xff\nspoilt\n\nlast"
    items = list(read_records(write(tmp_path, "a.txt", content)))
    assert texts(items) == ["甲\n乙", "丙", "last"]
    assert [item.line for item in items] == [1, 6, 8, 11]
    assert items[2].reason == "not UTF-8"
    zipped = list(read_records(write(tmp_path, "a.txt.gz", gzip.compress(content))))
    assert texts(zipped) == texts(items)


def test_a_text_document_without_blank_lines_may_not_be_endless(tmp_path):
    line = b"x" * 2**20 + b"\n"
    path = write(tmp_path, "a.txt", line * 11 + b"\n" + b"short\n")
    bad, good = read_records(path)
    assert bad.line == 1 and "longer than 10 MiB" in bad.reason and good.fields["text"] == "short"
    records = b'{"text": "' + b"x" * 2**20 + b'"}\n'
    (bad,) = read_records(write(tmp_path, "a.jsonl.txt", records * 11))
    assert bad.line == 1 and "it holds JSON: end its name in .jsonl" in bad.detail


def test_parquet_rows(tmp_path):
    path = tmp_path / "a.parquet"
    texts_in = [f"document {i}" for i in range(300)] + [None]
    pyarrow.parquet.write_table(pyarrow.table({"Text": texts_in, "n": list(range(301))}), path, row_group_size=70)
    items = list(read_records(path))
    assert [item.fields["text"] for item in items] == texts_in
    assert [item.line for item in items] == list(range(1, 302))


def test_a_parquet_cell_that_is_not_utf8(tmp_path):
    raw = pyarrow.array([b"good", b"\xff\xfe", b"good"]).view(pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"text": raw}), tmp_path / "a.parquet")
    items = list(read_records(tmp_path / "a.parquet"))
    assert texts(items) == ["good", "good"] and items[1].reason == "not UTF-8" and items[1].line == 2


def test_a_parquet_column_that_python_has_no_values_for_does_no_harm(tmp_path):
    table = {
        "text": ["one", "two"],
        "date": pyarrow.array([2**40, 0], pyarrow.timestamp("s")),  # the year 36,812
        "zone": pyarrow.array([0, 0], pyarrow.timestamp("s", "Nowhere/Town")),
        "duration": pyarrow.array([2**62, 1], pyarrow.duration("s")),
    }
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "a.parquet")
    items = list(read_records(tmp_path / "a.parquet"))
    assert texts(items) == ["one", "two"] and items[0].fields["date"] is None


def test_a_file_that_is_not_parquet(tmp_path):
    path = write(tmp_path, "a.parquet", b"PAR1 but nothing more")
    with pytest.raises(SproutError, match="cannot be read as parquet"):
        list(read_records(path))


@pytest.mark.parametrize(
    "content, found",
    [
        (b'{"a": 1}\n\nwhich is JSON\n', ['{"a": 1}', "which is JSON"]),
        (b'{ once\n\n{"a": 1}\n', ["{ once", '{"a": 1}']),
        (b'{"a": 1}\n{"a": 2}\n', ["not a data file"]),
        (b'{"a": 1}\n\n{"a": 2}\n\n\xff\n', ["not a data file"] * 2 + ["not UTF-8"]),
    ],
)
def test_a_text_may_begin_with_json_but_not_be_all_of_it(tmp_path, content, found):
    items = read_records(write(tmp_path, "a.txt", content))
    assert [each.reason if isinstance(each, BadLine) else each.fields["text"] for each in items] == found


def test_whole_files_that_cannot_be_used(tmp_path):
    with pytest.raises(SproutError, match="there is no such file"):
        check_file(tmp_path / "missing.jsonl")
    with pytest.raises(SproutError, match="is a folder"):
        check_file(tmp_path)
    with pytest.raises(SproutError, match="is empty"):
        check_file(write(tmp_path, "a.jsonl", b""))
    with pytest.raises(UsageError, match=r"\.jsonl, .*\.parquet"):
        check_file(write(tmp_path, "a.py", GOOD))
    assert check_file(write(tmp_path, "A.JSONL.GZ", b"x")) == ".jsonl.gz"


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt"])
@pytest.mark.parametrize("content", [b"\xef\xbb\xbf", b"\n \n"], ids=["only a BOM", "only blank lines"])
def test_files_with_nothing_in_them(tmp_path, name, content):
    assert list(read_records(write(tmp_path, name, content))) == []


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.txt", "a.parquet"])
def test_progress_is_in_bytes_of_the_file(tmp_path, name):
    if name.endswith("parquet"):
        pyarrow.parquet.write_table(pyarrow.table({"text": ["one"] * 2000}), tmp_path / name)
    else:
        line = b"It is a %d.\n\n" if name == "a.txt" else b'{"text": "%d"}\n\n'
        lines = b"".join(line % i**9 for i in range(2000))
        write(tmp_path, name, gzip.compress(lines) if name.endswith("gz") else lines)
    seen = []
    assert len(texts(read_records(tmp_path / name, seen.append))) == 2000
    size = (tmp_path / name).stat().st_size
    assert seen == sorted(seen) and size * 0.7 < seen[-1] <= size


def test_a_line_may_be_the_turns_of_a_chat(tmp_path):
    turns, shared = [{"role": "user", "content": "Hi"}], [{"from": "human", "value": "Hi"}]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (turns, shared, [{"text": "Hi"}])))
    first, second, bad = read_records(path)
    assert first.fields == {"messages": turns} and second.fields == {"conversations": shared}
    assert isinstance(bad, BadLine) and bad.reason == "not a JSON object"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"text": "a', "Unterminated string starting at column 10;"),
        ('{"text": "a\tb"}', "Invalid control character at column 12"),
        (r'{"text": "\q"}', r"Invalid \escape at column 11"),
        ('{"text"}', "Expecting ':' delimiter at column 8"),
    ],
)
def test_what_is_wrong_with_json_reads_as_a_sentence(tmp_path, line, why):
    (tmp_path / "a.jsonl").write_text(line)
    (bad,) = read_records(tmp_path / "a.jsonl")
    assert bad.detail.startswith(why)
