#!/usr/bin/env bash
# datasets 5.2.0, Python 3.11 (seen 2026-11-30).
# Where records come from Python, datasets takes the keys of the first one for all columns. Dataset.from_list and
# from_generator leave out every key that the first record lacks, with all of its values, and so does map, if its
# function adds a key to some examples only ("error" where something went wrong, "tools" where the chat has some). There
# is no warning, and the number of rows is right. The other way round (a key of the first example that a later one
# lacks, or one that a later batch adds) map ends with KeyError, so whoever met that once trusts map to say it.
# load_dataset("json") keeps late keys. Data of chats have them: of "tools", "system" or "reasoning" most records have
# none. Give every record every key (None where it has nothing), or hand over features=; with None, map writes the
# column.
# Output seen (the columns of ten records; "tools" is in all but the first, or only in the first):
#   from_list: q
#   from_generator: q
#   streamed from_generator, record 9: q
#   load_dataset of the same as JSON: q, tools
#   map, the key is in all but the first: q
#   map, the key is in the first: KeyError 'tools'
#   map, the key is in all, None in the first: q, tools
#   map by batches, the key is in the second of two: KeyError 'tools'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet datasets==5.2.0 pyarrow==26.0.1
cat > keys.py <<'PYTHON'
import json
import sys
from collections.abc import Callable

import datasets
from datasets import Dataset, IterableDataset

datasets.disable_progress_bars()
records = [{"q": "0"}, *({"q": str(number), "tools": "search"} for number in range(1, 10))]
plain = Dataset.from_list([{"q": str(number)} for number in range(10)])
seen = []


def show(name: str, columns: Callable[[], list[str]]) -> None:
    try:
        seen.append(", ".join(columns()))
    except KeyError as error:
        seen.append(f"KeyError {error}")
    print(f"{name}: {seen[-1]}")


def generate():
    yield from records


def late(example: dict) -> dict:
    return {"tools": "search"} if example["q"] != "0" else {}


def early(example: dict) -> dict:
    return {"tools": "search"} if example["q"] == "0" else {}


def always(example: dict) -> dict:
    return {"tools": "search" if example["q"] != "0" else None}


def late_batch(batch: dict) -> dict:
    return {"tools": ["search"] * len(batch["q"])} if "0" not in batch["q"] else {}


with open("records.jsonl", "w") as file:
    file.writelines(json.dumps(record) + "\n" for record in records)
show("from_list", lambda: Dataset.from_list(records).column_names)
show("from_generator", lambda: Dataset.from_generator(generate).column_names)
show("streamed from_generator, record 9", lambda: list([*IterableDataset.from_generator(generate)][9]))
read = datasets.load_dataset("json", data_files="records.jsonl", split="train")
show("load_dataset of the same as JSON", lambda: read.column_names)
show("map, the key is in all but the first", lambda: plain.map(late).column_names)
show("map, the key is in the first", lambda: plain.map(early).column_names)
show("map, the key is in all, None in the first", lambda: plain.map(always).column_names)
by_batches = "map by batches, the key is in the second of two"
show(by_batches, lambda: plain.map(late_batch, batched=True, batch_size=5).column_names)
if seen != ["q", "q", "q", "q, tools", "q", "KeyError 'tools'", "q, tools", "KeyError 'tools'"]:
    sys.exit("no longer so: the columns above are others")
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/python keys.py 2> errors || { cat errors; exit 1; }
