#!/usr/bin/env bash
# datasets 5.2.0 with pyarrow 26.0.1, Python 3.11 (seen 2026-11-27).
# Turns of a chat whose keys differ in *type* from record to record (here `content` is a text in one and a list of parts
# in the other) do not fail to load as JSON lines, as one would expect of Arrow: `load_dataset("json")` gives the feature
# Json(), and `to_parquet` stores JSON *text* under the extension type `arrow.json`. Whoever reads that file by pyarrow
# gets strings such as '"hello"', in quotation marks, where the source had hello.
# Output seen:
#   feature Json
#   parquet extension<arrow.json>
#   value '"hello"'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet datasets==5.2.0 pyarrow==26.0.1
cd "$folder"
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 "$folder/env/bin/python" - <<'PYTHON'
import json

import datasets
import pyarrow.parquet

rows = [
    {"messages": [{"role": "user", "content": "hello"}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]},
]
with open("a.jsonl", "w") as file:
    file.writelines(json.dumps(row) + "\n" for row in rows)
loaded = datasets.load_dataset("json", data_files="a.jsonl", split="train")
feature = loaded.features["messages"].feature["content"]
loaded.to_parquet("a.parquet")
table = pyarrow.parquet.read_table("a.parquet")
kind = table.schema.field("messages").type.value_type.field("content").type
value = table["messages"][0].as_py()[0]["content"]
print("feature", type(feature).__name__)
print("parquet", kind)
print("value", repr(value))
assert type(feature).__name__ == "Json" and "arrow.json" in str(kind) and value == '"hello"'
PYTHON
