#!/usr/bin/env bash
# datasets 5.2.0, beside 4.5.0, Python 3.11 (seen 2026-11-30; 4.6.1, 4.7.0, 4.8.5, 5.0.0 and 5.1.0 do as 5.2.0).
# set_epoch(n) of a streamed data set is there to give shuffle() another order in every epoch. Up to 4.5 it left alone
# what nobody had shuffled. Now it puts the shards of every streamed data set, which are its files, into a random order
# from epoch 1 on, whether shuffle() was called or not. No warning is given, and set_epoch has no docstring. Files that
# stand in an order on purpose, from easy to hard or the best last, keep it in epoch 0 only. from_generator takes a list
# among its arguments for shards, so there every single entry changes its place. It is not in the user's script:
# Trainer of transformers 5.24.0 calls set_epoch by itself. One file stays as it is, and so does take(), even of all.
# Output seen (eight numbers in four files of two; the numbers as they come):
#   4.5.0, epoch 0: 01234567, from_generator 01234567, one file 01234567, take 01234567
#   4.5.0, epoch 1: 01234567, from_generator 01234567, one file 01234567, take 01234567
#   4.5.0, epoch 2: 01234567, from_generator 01234567, one file 01234567, take 01234567
#   5.2.0, epoch 0: 01234567, from_generator 01234567, one file 01234567, take 01234567
#   5.2.0, epoch 1: 01234567, from_generator 50142637, one file 01234567, take 01234567
#   5.2.0, epoch 2: 67450123, from_generator 65723401, one file 01234567, take 01234567
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > read.py <<'PYTHON'
from pathlib import Path

import datasets
from datasets import IterableDataset, load_dataset

datasets.disable_progress_bars()
for number in range(8):
    for path in (Path(f"part_{number // 2}.jsonl"), Path("whole.jsonl")):
        with path.open("a") as file:
            file.write(f'{{"x": {number}}}\n')


def stream(*files: str) -> IterableDataset:
    return load_dataset("json", data_files=list(files), split="train", streaming=True)


def numbers(given: list[int]):
    for number in given:
        yield {"x": number}


parts = stream(*(f"part_{number}.jsonl" for number in range(4)))
made = IterableDataset.from_generator(numbers, gen_kwargs={"given": list(range(8))})
kinds = {"": parts, "from_generator ": made, "one file ": stream("whole.jsonl"), "take ": parts.take(8)}
for epoch in range(3):
    seen = []
    for name, data in kinds.items():
        data.set_epoch(epoch)
        seen.append(name + "".join(str(row["x"]) for row in data))
    print(f"{datasets.__version__}, epoch {epoch}: " + ", ".join(seen))
PYTHON
for version in 4.5.0 5.2.0; do
    python3 -m venv "env_$version"
    "env_$version/bin/pip" install --quiet "datasets==$version"
    rm -f ./*.jsonl
    HF_HOME="$folder/home_$version" HF_HUB_OFFLINE=1 "env_$version/bin/python" read.py
done > seen 2> errors || { cat errors; exit 1; }
cat seen
cat > expected <<'TEXT'
4.5.0, epoch 0: 01234567, from_generator 01234567, one file 01234567, take 01234567
4.5.0, epoch 1: 01234567, from_generator 01234567, one file 01234567, take 01234567
4.5.0, epoch 2: 01234567, from_generator 01234567, one file 01234567, take 01234567
5.2.0, epoch 0: 01234567, from_generator 01234567, one file 01234567, take 01234567
5.2.0, epoch 1: 01234567, from_generator 50142637, one file 01234567, take 01234567
5.2.0, epoch 2: 67450123, from_generator 65723401, one file 01234567, take 01234567
TEXT
cmp -s seen expected || { echo "no longer so: the output above is another one"; exit 1; }
