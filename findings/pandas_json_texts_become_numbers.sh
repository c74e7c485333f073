#!/usr/bin/env bash
# pandas 3.1.1, Python 3.11 (seen 2026-11-30).
# JSON says by quotation marks what is a text. pandas.read_json takes them off: where every text of a column can be read
# as a number, the column becomes one of numbers. So it is with the answers of arithmetic ("007", "1.50"; "1/2" is safe)
# and with numbers of files, versions and postcodes. It reads as Python's int() and float() do: "1_000" and "１２" and
# " 7" are numbers as well, and "nan" and "inf", which to_json writes as null. One number with a point makes all others
# floats, so 18 comes back as 18.0, and an identifier of 17 digits as another one. No warning is given, and one answer
# that is no number keeps the whole column as it was, so a part of a file may come out otherwise than the file. What
# is filtered and written by pandas so has other answers, or answers that are no texts any more; a reward that compares
# letters then finds every "18" wrong. dtype=False keeps texts. Issue 42471 of pandas, of 2021, is open.
# Output seen (the texts of a column; what read_json and to_json make of them; at last, with dtype=False):
#   "18", "007": 18, 7
#   "18", "1.50": 18.0, 1.5
#   "1_000", "１２": 1000, 12
#   "nan", "7": null, 7.0
#   "12345678901234567", "0.5": 1.23456789e+16, 0.5
#   "18", "007", "I do not know": "18", "007", "I do not know"
#   "18", "1.50", dtype=False: "18", "1.50"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet pandas==3.1.1 numpy==2.4.6
cat > "$folder/texts.py" <<'PYTHON'
import json
from io import StringIO

import pandas

COLUMNS = (
    ["18", "007"],
    ["18", "1.50"],
    ["1_000", "１２"],
    ["nan", "7"],
    ["12345678901234567", "0.5"],
    ["18", "007", "I do not know"],
)


def again(texts: list[str], **settings) -> str:
    """The values as they stand in the file that pandas writes."""
    lines = "".join(json.dumps({"answer": text}) + "\n" for text in texts)
    frame = pandas.read_json(StringIO(lines), lines=True, **settings)
    written = frame.to_json(orient="records", lines=True, force_ascii=False)
    return ", ".join(line.removeprefix('{"answer":').removesuffix("}") for line in written.splitlines())


for texts in COLUMNS:
    print(f"{', '.join(json.dumps(text, ensure_ascii=False) for text in texts)}: {again(texts)}")
print(f'"18", "1.50", dtype=False: {again(["18", "1.50"], dtype=False)}')
PYTHON
"$folder/env/bin/python" "$folder/texts.py" | tee "$folder/seen"
cat > "$folder/expected" <<'TEXT'
"18", "007": 18, 7
"18", "1.50": 18.0, 1.5
"1_000", "１２": 1000, 12
"nan", "7": null, 7.0
"12345678901234567", "0.5": 1.23456789e+16, 0.5
"18", "007", "I do not know": "18", "007", "I do not know"
"18", "1.50", dtype=False: "18", "1.50"
TEXT
cmp -s "$folder/seen" "$folder/expected" || { echo "no longer so: the output above is another one"; exit 1; }
