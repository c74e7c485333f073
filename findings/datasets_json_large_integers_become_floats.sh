#!/usr/bin/env bash
# datasets 5.2.0 with pyarrow 26.0.1, Python 3.11 (seen 2026-11-28).
# Fingerprints of 64 bits (SimHash, MinHash, xxHash) are half of the time 2^63 or more. `load_dataset("json")` makes a
# whole column float64 if one value of it is that large: the last 11 bits are gone, other fingerprints become equal, and
# no warning is given. `features=` with uint64 does not bring them back, since the floats are what is cast.
# `Dataset.from_list` refuses the same values, with features as well. Only an Arrow table of uint64 keeps them.
# Output seen:
#   load_dataset: float64, 3 values of 4 are other numbers, 2 different of 4
#   load_dataset, features say uint64: uint64, 3 values of 4 are other numbers, 2 different of 4
#   from_list: OverflowError
#   from_list, features say uint64: OverflowError
#   Arrow table: uint64, 0 values of 4 are other numbers, 4 different of 4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet datasets==5.2.0 pyarrow==26.0.1
cd "$folder"
cat > read.py <<'PYTHON'
import json

import datasets
import pyarrow

fingerprints = [2**63, 2**63 + 1, 2**63 + 2, 2**62 + 1]
records = [{"fingerprint": value} for value in fingerprints]
with open("a.jsonl", "w") as file:
    file.writelines(json.dumps(record) + "\n" for record in records)
unsigned = datasets.Features({"fingerprint": datasets.Value("uint64")})


def show(name: str, load) -> None:
    try:
        loaded = load()
    except Exception as error:
        print(f"{name}: {type(error).__name__}")
        return
    values = list(loaded["fingerprint"])
    other = sum(int(value) != right for value, right in zip(values, fingerprints))
    kind = loaded.features["fingerprint"].dtype
    print(f"{name}: {kind}, {other} values of 4 are other numbers, {len(set(values))} different of 4")


read = {"path": "json", "data_files": "a.jsonl", "split": "train"}
show("load_dataset", lambda: datasets.load_dataset(**read))
show("load_dataset, features say uint64", lambda: datasets.load_dataset(**read, features=unsigned))
show("from_list", lambda: datasets.Dataset.from_list(records))
show("from_list, features say uint64", lambda: datasets.Dataset.from_list(records, features=unsigned))
table = pyarrow.table({"fingerprint": pyarrow.array(fingerprints, pyarrow.uint64())})
show("Arrow table", lambda: datasets.Dataset(table))
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 "$folder/env/bin/python" read.py 2> errors | tee seen || { cat errors; exit 1; }
grep -qx "load_dataset: float64, 3 values of 4 are other numbers, 2 different of 4" seen
grep -qx "load_dataset, features say uint64: uint64, 3 values of 4 are other numbers, 2 different of 4" seen
grep -qx "from_list: OverflowError" seen
grep -qx "from_list, features say uint64: OverflowError" seen
grep -qx "Arrow table: uint64, 0 values of 4 are other numbers, 4 different of 4" seen
