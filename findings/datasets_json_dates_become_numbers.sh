#!/usr/bin/env bash
# datasets 5.2.0 with pyarrow 26.0.1, Python 3.11 (seen 2026-11-28).
# A text of a JSON-lines file is no text in `load_dataset("json")` if every value of its column is an ISO date: Arrow's
# reader infers a timestamp, nothing says so, and the answer "1912-05-01" comes as a datetime, which `to_json` writes as
# milliseconds since 1970. Asking for texts by `features=` does not bring the text back: the timestamp is made into a
# text, of other characters than the file has. One answer of another kind turns all into the texts that they are; but
# where it comes after the first chunk that is read (10 MB, here 100 bytes), the valid file fails instead.
# `Dataset.from_list` keeps the texts.
# Output seen:
#   only dates: datetime.datetime(1912, 5, 1, 0, 0), written again -1819929600000
#   only dates, features say text: '1912-05-01 00:00:00', written again '1912-05-01 00:00:00'
#   one other answer: '1912-05-01', written again '1912-05-01'
#   the other answer in a later chunk: DatasetGenerationError
#   only dates, from_list: '1912-05-01'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet datasets==5.2.0 pyarrow==26.0.1
cd "$folder"
cat > read.py <<'PYTHON'
import json

import datasets


def seen(name: str, answers: list[str], **settings) -> str:
    with open(f"{name}.jsonl", "w") as file:
        file.writelines(json.dumps({"answer": answer}) + "\n" for answer in answers)
    try:
        loaded = datasets.load_dataset("json", data_files=f"{name}.jsonl", split="train", **settings)
    except datasets.exceptions.DatasetGenerationError as error:
        return type(error).__name__
    loaded.to_json("again.jsonl")
    with open("again.jsonl") as file:
        again = json.loads(file.readline())["answer"]
    return f"{loaded[0]['answer']!r}, written again {again!r}"


dates = ["1912-05-01"] * 20
text = datasets.Features({"answer": datasets.Value("string")})
print("only dates:", seen("dates", dates))
print("only dates, features say text:", seen("features", dates, features=text))
print("one other answer:", seen("mixed", [*dates, "in spring"]))
print("the other answer in a later chunk:", seen("later", [*dates, "in spring"], chunksize=100))
print("only dates, from_list:", repr(datasets.Dataset.from_list([{"answer": date} for date in dates])[0]["answer"]))
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 "$folder/env/bin/python" read.py 2> errors | tee seen || { cat errors; exit 1; }
grep -qx "only dates: datetime.datetime(1912, 5, 1, 0, 0), written again -1819929600000" seen
grep -qx "only dates, features say text: '1912-05-01 00:00:00', written again '1912-05-01 00:00:00'" seen
grep -qx "one other answer: '1912-05-01', written again '1912-05-01'" seen
grep -qx "the other answer in a later chunk: DatasetGenerationError" seen
grep -qx "only dates, from_list: '1912-05-01'" seen
