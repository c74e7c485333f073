"""One JSON array or object in a file: which records it holds, and what is said of one that is damaged."""

import json
import time

import pytest

from dataset.records.formats import BadLine
from dataset.records.reading import read_records
from model.errors import SproutError

RECORDS = [{"text": f'line {number}, "quoted"\n你好'} for number in range(300)]


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


def test_an_array_of_many_small_elements_is_read_in_little_time(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([{"text": "一"}] * 200_000, ensure_ascii=False), encoding="utf-8")
    begun = time.process_time()
    assert sum(1 for _ in read_records(tmp_path / "a.json")) == 200_000
    assert time.process_time() - begun < 6  # it took 20 times that while what was left was copied for each
