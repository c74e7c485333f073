#!/usr/bin/env bash
# polars 2.1.0, beside pandas 3.1.1, duckdb 2.0.1 and datasets 5.2.0, Python 3.11 (seen 2026-11-30).
# read_ndjson, scan_ndjson and DataFrame(records) of polars infer columns from the first 100 records. A key that comes
# later for the first time is left out, with all of its values, from each record and from the messages within one; there
# is no warning, although a value of another type than expected is an error. In data of chats the keys that few records
# have are those that matter ("tools", "system", "tool_calls"), and files that are put together from several sources have
# them in one piece, further down. Whoever filters, deduplicates or shuffles such a file and writes it again has lost
# them, and the number of records is right. infer_schema_length=None looks at all records. Issues 29330 and 23190 of
# polars report it. DuckDB, which looks at 20,480 records, stops with an error then; datasets and pandas keep such keys.
# Output seen (30,000 records, of which 3,000 have "tools" or, in a message, "tool_calls"; the first is number N, and so
# many come out):
#   100: read 3000, scanned and written again 3000, DataFrame(records) 3000, in messages 3000
#   101: read 0, scanned and written again 0, DataFrame(records) 0, in messages 0
#   27,001: read 0, scanned and written again 0, DataFrame(records) 0, in messages 0
#   27,001, infer_schema_length=None: read 3000
#   27,001, others: pandas 3000, datasets 3000, duckdb InvalidInputException
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet polars==2.1.0 duckdb==2.0.1 pandas==3.1.1 datasets==5.2.0 pyarrow==26.0.1
cat > late.py <<'PYTHON'
import json
from pathlib import Path

import datasets
import duckdb
import pandas
import polars

ALL, LATE = 30_000, 3000
datasets.disable_progress_bars()


def records(first: int, late: dict) -> list[dict]:
    """Plain records, and 3,000 of the late kind among them, from number `first` on."""
    plain = {"messages": [{"role": "user", "content": "hi"}]}
    return [plain] * (first - 1) + [plain | late] * LATE + [plain] * (ALL - LATE - first + 1)


def write(path: str, rows: list[dict]) -> None:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))


def count(table: polars.DataFrame, key: str) -> int:
    return table[key].drop_nulls().len() if key in table.columns else 0


for first in (100, 101, 27_001):
    rows = records(first, {"tools": "[]"})
    write("chats.jsonl", rows)
    write("calls.jsonl", records(first, {"messages": [{"role": "user", "content": "hi", "tool_calls": "[]"}]}))
    polars.scan_ndjson("chats.jsonl").sink_ndjson("again.jsonl")
    again = sum(json.loads(line).get("tools") is not None for line in Path("again.jsonl").open())
    said = f"read {count(polars.read_ndjson('chats.jsonl'), 'tools')}, scanned and written again {again}"
    turns = polars.read_ndjson("calls.jsonl")["messages"].explode().struct.unnest()
    said += f", DataFrame(records) {count(polars.DataFrame(rows), 'tools')}, in messages {count(turns, 'tool_calls')}"
    print(f"{first:,}: {said}")
whole = count(polars.read_ndjson("chats.jsonl", infer_schema_length=None), "tools")
print(f"{first:,}, infer_schema_length=None: read {whole}")
loaded = datasets.load_dataset("json", data_files="chats.jsonl", split="train")
kept = sum(value is not None for value in loaded["tools"])
try:
    of_duckdb = sum(row[-1] is not None for row in duckdb.sql("from 'chats.jsonl'").fetchall())
except duckdb.Error as error:
    of_duckdb = type(error).__name__
of_pandas = pandas.read_json("chats.jsonl", lines=True)["tools"].count()
print(f"{first:,}, others: pandas {of_pandas}, datasets {kept}, duckdb {of_duckdb}")
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/python late.py > seen 2> errors || { cat errors; exit 1; }
cat seen
cat > expected <<'TEXT'
100: read 3000, scanned and written again 3000, DataFrame(records) 3000, in messages 3000
101: read 0, scanned and written again 0, DataFrame(records) 0, in messages 0
27,001: read 0, scanned and written again 0, DataFrame(records) 0, in messages 0
27,001, infer_schema_length=None: read 3000
27,001, others: pandas 3000, datasets 3000, duckdb InvalidInputException
TEXT
cmp -s seen expected || { echo "no longer so: the output above is another one"; exit 1; }
