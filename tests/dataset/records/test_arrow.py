"""What passed through Arrow is what its author wrote: no key that only other records have, no JSON text as text."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from dataset.records.chat_formats import CHAT
from dataset.records.conversations import Conversation
from dataset.records.documents import FormatReader, detect_format, read_documents
from dataset.records.reading import read_records


def tool(name: str, **properties) -> dict:
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def asked(name: str, arguments: dict, tools: list) -> dict:
    call = {"role": "assistant", "content": "", "tool_calls": [{"name": name, "arguments": arguments}]}
    return {"messages": [{"role": "user", "content": "Well?"}, call], "tools": tools}


SOURCE = [
    asked("weather", {"city": "Bonn"}, [tool("weather", city={"type": "string"})]),
    asked("add", {"a": 1, "b": 2}, [tool("add", a={"type": "integer"}, b={"type": "integer"})]),
    asked("now", {}, [tool("now")]),
]


def read(record: dict) -> Conversation:
    return detect_format(record, CHAT).read(record)


def said(path) -> list[str]:
    return [document.content.to_json() for document in read_documents(path, FormatReader(CHAT))]


def test_keys_of_other_records_are_not_trained(tmp_path):
    table = pyarrow.Table.from_pylist(SOURCE)
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    lines = [json.dumps(row) for row in table.to_pylist()]  # what `datasets` writes as JSON lines
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert '"b": null' in lines[0]
    expected = [read(row).to_json() for row in SOURCE]
    assert said(tmp_path / "a.parquet") == said(tmp_path / "a.jsonl") == expected


@pytest.mark.parametrize("registered", [True, False])
def test_json_within_arrow_is_decoded_at_every_depth(tmp_path, registered):
    """`datasets` 5 stores uneven turns so; pyarrow before 19 does not know the type and shows its metadata alone."""
    if registered:
        kind, name = pyarrow.json_(), {}
    else:
        kind, name = pyarrow.string(), {"metadata": {"ARROW:extension:name": "arrow.json"}}
    turns = pyarrow.list_(pyarrow.field("item", kind, **name))
    content = pyarrow.struct([pyarrow.field("text", kind, **name)])
    messages = SOURCE[0]["messages"]
    rows = {
        "messages": pyarrow.array([[json.dumps(turn) for turn in messages]], pyarrow.list_(pyarrow.string())).cast(
            turns
        ),
        "tools": pyarrow.array([json.dumps(SOURCE[0]["tools"])], pyarrow.string()).cast(kind),
        "deep": pyarrow.array([{"text": '"你"'}], pyarrow.struct({"text": pyarrow.string()})).cast(content),
    }
    fields = [
        pyarrow.field("messages", turns),
        pyarrow.field("tools", kind, **name),
        pyarrow.field("deep", content),
    ]
    pyarrow.parquet.write_table(pyarrow.table(rows, pyarrow.schema(fields)), tmp_path / "a.parquet")
    (record,) = read_records(tmp_path / "a.parquet")
    assert record.fields == {"messages": messages, "tools": SOURCE[0]["tools"], "deep": {"text": "你"}}
    assert said(tmp_path / "a.parquet") == [read(SOURCE[0]).to_json()]


def test_a_map_of_arguments_is_an_object(tmp_path):
    kind = pyarrow.map_(pyarrow.string(), pyarrow.string())
    rows = {"arguments": pyarrow.array([[("city", "Bonn")]], kind)}
    pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "a.parquet")
    (record,) = read_records(tmp_path / "a.parquet")
    assert record.fields == {"arguments": {"city": "Bonn"}}


def arguments(record: dict) -> dict:
    return read(record).messages[1]["tool_calls"][0]["arguments"]


@pytest.mark.parametrize(
    "schema", [{"type": ["string", "null"]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}, {"enum": ["C", None]}]
)
def test_a_null_that_the_schema_allows_stays(schema):
    record = asked("weather", {"city": "Bonn", "unit": None}, [tool("weather", city={}, unit=schema)])
    record["messages"][0]["tool_calls"] = None  # as Arrow would write it
    assert arguments(record) == {"city": "Bonn", "unit": None}


def test_a_null_stays_where_arrow_cannot_have_written_it():
    record = asked("weather", {"city": "Bonn", "unit": None}, [tool("weather", city={"type": "string"})])
    assert arguments(record) == {"city": "Bonn", "unit": None}  # the turns have different keys
    record["messages"][0]["tool_calls"] = None
    assert arguments(record) == {"city": "Bonn"}
    record["messages"][1]["tool_calls"] = json.dumps(record["messages"][1]["tool_calls"])
    assert arguments(record) == {"city": "Bonn", "unit": None}
