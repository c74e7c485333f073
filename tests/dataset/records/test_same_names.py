"""Keys and columns of one name: refused where a value would be lost."""

import json

import pyarrow
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet
import pytest

from dataset.records.formats import BadLine
from dataset.records.reading import read_records
from model.errors import SproutError


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
