"""What is read as before keeps the key of its cache; what is read otherwise has another."""

import json

import pyarrow
import pyarrow.parquet
import pytest

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
        ({"question": "a", "answer": "b", "reasoning": "c"}, 7, 7),
        ({"question": "a", "answer": "b", "reasoning_content": "c"}, 7, 7),
        ({"messages": [TURN, {"role": "assistant", "content": "b", "reasoning_content": "c"}]}, None, 2),
        ({"prompt": "\n\nHuman: a\n\nAssistant:", "chosen": "b", "rejected": "c"}, 7, None),
        ({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}, None, None),
    ],
)
def test_only_what_is_read_otherwise_has_another_key(tmp_path, record, in_lines, in_parquet):
    (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\n")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([record]), tmp_path / "a.parquet")
    found = [reading_version(tmp_path / name).get("reading") for name in ("a.jsonl", "a.parquet")]
    assert found == [in_lines, in_parquet]
