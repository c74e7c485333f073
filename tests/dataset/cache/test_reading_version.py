"""What is read as before keeps the key of its cache; what is read otherwise has another."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from dataset.cache import reading_version as module
from dataset.cache.reading_version import reading_version

TURN = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    "record, in_lines, in_parquet",
    [
        ({"instruction": "a", "output": "b"}, None, None),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, None, None),
        ({"prompt": "a", "chosen": [TURN], "rejected": [TURN]}, None, 2),
        ({"instruction": "a", "output": "b", "train": True}, 2, 2),
        ({"instruction": "a", "output": "b", "label": False}, 2, 3),
        ({"instruction": "a", "output": "b", "weight": 0}, 2, 4),  # a type says less than a value
        ({"instruction": "a", "output": "b", "weight": 72}, 4, 4),
        ({"instruction": "a", "output": "b", "train": "test"}, 4, 4),
        ({"instruction": "a", "output": "b", "label": "good"}, 4, 4),
        ({"prompt": "a", "chosen": "b", "rejected": ["c", "d"]}, 5, 5),
        ({"messages": [TURN, {"role": "tool", "content": "\n <tool_response>\n22\n</tool_response>"}]}, 6, 2),
        ({"question": "a", "answer": "b", "reasoning": "c"}, 7, 8),
        ({"question": "a", "answer": "b", "reasoning": "off"}, 8, 8),
        ({"messages": [TURN, {"role": "assistant", "content": "b", "reasoning": "off"}]}, 8, 8),
        ({"messages": [TURN, {"role": "assistant", "content": "b", "reasoning_content": "None"}]}, 8, 2),
        ({"question": "a", "answer": "b", "reasoning_content": "c"}, 7, 7),
        ({"messages": [TURN, {"role": "assistant", "content": "b", "reasoning_content": "c"}]}, None, 2),
        ({"prompt": "\n\nHuman: a\n\nAssistant:", "chosen": "b", "rejected": "c"}, 8, None),
        ({"prompt": "\r\nHuman: a\r\n\r\nAssistant:", "completion": "b"}, 8, None),
        ({"chosen": "Human: a\r\n\r\nAssistant: b", "rejected": "Human: a\r\n\r\nAssistant: c"}, 8, None),
        ({"chosen": "Human: a\n\r\nAssistant: b", "rejected": "Human: a\n\r\nAssistant: c"}, 8, None),
        ({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}, None, None),
        ({"instruction": "a", "output": "b", "history": [["c", "d"]]}, None, 2),  # always read so; a list is nested
        ({"query": "a", "response": "b", "history": "c"}, 3, 3),
        ({"instruction": "a", "output": "b", "history": "c"}, None, None),
        ({"messages": [TURN], "calls": [{"arguments": {"x": None}}]}, 2, 2),
        ({"messages": [TURN], "rejected_response": "a", "calls": [{"arguments": {"x": None}}]}, 3, 2),
        ({"instruction": "a", "output": None}, 2, None),
        ({"instruction": "a", "output": "b", "reasoning": "c"}, 7, 8),
        ({"prompt": "a", "chosen": "b", "rejected_response": ["c"]}, 5, 5),
        ({"prompt": "a", "chosen": "b", "rejected": [TURN]}, None, 2),
        ({"instruction": "a", "chosen": "b", "rejected": "c", "label": 0}, 8, 8),
        ({"input": "a", "output": "b", "score": 0.5, "label": "chosen"}, 8, 8),
        ({"input": "a", "output": "b", "score": 0.5, "label": False}, 2, 3),
        ({"input": "a", "output": "b", "score": 0.5}, None, None),
    ],
)
def test_only_what_is_read_otherwise_has_another_key(tmp_path, record, in_lines, in_parquet):
    (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\n")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([record]), tmp_path / "a.parquet")
    found = [reading_version(tmp_path / name).get("reading") for name in ("a.jsonl", "a.parquet")]
    assert found == [in_lines, in_parquet]


def test_a_mark_is_found_where_two_blocks_of_a_file_meet(tmp_path, monkeypatch):
    content = b'{"instruction": "a", "output": "b", "train": true}\n'
    (tmp_path / "a.jsonl").write_bytes(content)
    for cut in range(1, len(content)):
        monkeypatch.setattr(module, "bytes_of", lambda path, cut=cut: iter([content[:cut], content[cut:]]))
        assert reading_version(tmp_path / "a.jsonl") == {"reading": 2}, cut


def test_tables_without_types_are_read_by_their_names_alone(tmp_path):
    """As nothing says whether their cells are nested, they are always read anew."""
    (tmp_path / "a.csv").write_text("instruction,output\na,b\n")
    assert reading_version(tmp_path / "a.csv") == {"reading": 2}
