#!/usr/bin/env bash
# datasets 5.2.0 with pyarrow 26.0.1, Python 3.11 (seen 2026-11-30).
# map and filter keep what they made, and give it again where data and function are the same. A function of the script
# itself is compared by what it does, an imported one by its name alone. So whoever keeps the cleaning in a module and
# edits it gets the texts of before, from map and from filter, and from a function of the script that calls it: a run
# trains on what the code no longer makes. Dataset.from_generator never looks at the file that its generator reads, and
# gives a changed one as it was, where load_dataset reads it again. No message tells either. The first is issue 3297 of
# datasets, of 2021; its pull request 8614 would mend it. map and filter with load_from_cache_file=False make anew, and
# so does everything in another HF_HOME.
# Output seen (a text cut to its first letters, and kept if it is longer than twice their number):
#   cut to 3: own abc, imported abc, calling abc; kept 1; loaded abcdefgh, generated abcdefgh
#   cut to 5: own abcde, imported abc, calling abc; kept 1; loaded abcdefgh, generated abcdefgh
#   another text: own ABCDE, imported ABCDE, calling ABCDE; kept 1; loaded ABCDEFGHIJKL, generated abcdefgh
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet datasets==5.2.0 pyarrow==26.0.1
cat > steps.py <<'PYTHON'
import os
import subprocess
import sys
from pathlib import Path

helper = """
def cut(record):
    return {"text": record["text"][:LIMIT]}

def wanted(record):
    return len(record["text"]) > 2 * LIMIT
"""
script = """
import datasets
import helper

datasets.disable_progress_bars()

def own(record):
    return {"text": record["text"][:LIMIT]}

def calling(record):
    return helper.cut(record)

def lines(path):
    with open(path) as file:
        yield from ({"text": line.strip()} for line in file)

texts = datasets.load_dataset("text", data_files="texts.txt", split="train")
cuts = [texts.map(function)["text"][0] for function in (own, helper.cut, calling)]
kept = texts.filter(helper.wanted).num_rows
read = datasets.Dataset.from_generator(lines, gen_kwargs={"path": "texts.txt"})["text"][0]
print(f"own {cuts[0]}, imported {cuts[1]}, calling {cuts[2]}; kept {kept}; "
      f"loaded {texts['text'][0]}, generated {read}")
"""


texts = Path("texts.txt")


def run(name: str, limit: int, text: str) -> str:
    for path, code in (("helper.py", helper), ("script.py", script)):
        Path(path).write_text(code.replace("LIMIT", str(limit)))
    if text != (texts.read_text().strip() if texts.exists() else ""):  # its date counts, too
        texts.write_text(text + "\n")
    settings = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    said = subprocess.run([sys.executable, "script.py"], env=settings, capture_output=True, text=True)
    if said.returncode:
        sys.exit(said.stderr)
    print(f"{name}: {said.stdout.strip()}", flush=True)
    return said.stdout.strip()


run("cut to 3", 3, "abcdefgh")
second = run("cut to 5", 5, "abcdefgh")
third = run("another text", 5, "ABCDEFGHIJKL")
if "own abcde, imported abc, calling abc; kept 1;" not in second:
    sys.exit("no longer so: the edited module is seen")
if not third.endswith("loaded ABCDEFGHIJKL, generated abcdefgh"):
    sys.exit("no longer so: the changed file is read again")
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/python steps.py
