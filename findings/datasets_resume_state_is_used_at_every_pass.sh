#!/usr/bin/env bash
# datasets 5.2.0, torchdata 0.11.0, torch 2.13.0 (CPU build), Python 3.11 (seen 2026-11-30; without a loader, datasets
# 3.6.0, 4.4.1, 5.0.0 and 5.1.0 do the same).
# IterableDataset.load_state_dict(state) goes on behind the last example that was read. But the state is not used up:
# every later pass over the same object begins there, too. So a loop over epochs that was resumed in the middle sees the
# second half from then on and never the first again, and one that was resumed at the end of an epoch sees nothing at
# all. The state also holds the number of its epoch, and load_state_dict does not set it: a state of epoch 1 or later is
# silently ignored unless set_epoch() with that number follows, and reading begins anew. The docstring shows one pass,
# in epoch 0, and names other exceptions. set_epoch(n) before each pass, with the right n, avoids all three.
# StatefulDataLoader of torchdata, which the docstring advises, behaves so with no worker or persistent ones, and right
# with workers that begin anew (issue 7447 of datasets), so only the number of workers decides what is learned.
# Output seen (eight numbers in a file; three passes after the state was loaded):
#   read up to 4 in epoch 0: 567 567 567
#   read up to the end of epoch 0: nothing nothing nothing
#   read up to 4 in epoch 1: 01234567 01234567 01234567
#   the same, and set_epoch before each pass: 567 01234567 01234567
#   StatefulDataLoader, no worker, up to 3: 4567 4567 4567
#   StatefulDataLoader, one worker, up to 3: 4567 01234567 01234567
#   StatefulDataLoader, one persistent worker, up to 3: 4567 4567 4567
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet datasets==5.2.0 torchdata==0.11.0 torch==2.13.0 numpy==2.3.4
cat > resume.py <<'PYTHON'
from itertools import islice
from pathlib import Path

import datasets
from torchdata.stateful_dataloader import StatefulDataLoader

PATH = "numbers.jsonl"


def stream() -> datasets.IterableDataset:
    return datasets.load_dataset("json", data_files=[PATH], split="train", streaming=True)


def numbers(data) -> str:
    return "".join(str(int(row["x"])) for row in data) or "nothing"


def state_after(count: int, epoch: int) -> dict:
    data = stream()
    data.set_epoch(epoch)
    reader = iter(data)
    list(islice(reader, count))
    if count == 8:
        next(reader, None)
    return data.state_dict()


def resumed(count: int, epoch: int, says: bool = False) -> str:
    data, passes = stream(), []
    data.load_state_dict(state_after(count, epoch))
    for later in range(3):
        if says:
            data.set_epoch(epoch + later)
        passes.append(numbers(data))
    return " ".join(passes)


def loaded(**workers) -> str:
    first, second = (StatefulDataLoader(stream().with_format("torch"), batch_size=2, **workers) for _ in range(2))
    list(islice(iter(first), 2))
    second.load_state_dict(first.state_dict())
    return " ".join(numbers({"x": x} for batch in second for x in batch["x"]) or "nothing" for _ in range(3))


if __name__ == "__main__":
    datasets.disable_progress_bars()
    Path(PATH).write_text("".join(f'{{"x": {number}}}\n' for number in range(8)))
    print("read up to 4 in epoch 0:", resumed(5, 0))
    print("read up to the end of epoch 0:", resumed(8, 0))
    print("read up to 4 in epoch 1:", resumed(5, 1))
    print("the same, and set_epoch before each pass:", resumed(5, 1, says=True))
    print("StatefulDataLoader, no worker, up to 3:", loaded(num_workers=0))
    print("StatefulDataLoader, one worker, up to 3:", loaded(num_workers=1))
    print("StatefulDataLoader, one persistent worker, up to 3:", loaded(num_workers=1, persistent_workers=True))
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/python -W ignore resume.py > seen 2> errors || { cat errors; exit 1; }
cat seen
cat > expected <<'TEXT'
read up to 4 in epoch 0: 567 567 567
read up to the end of epoch 0: nothing nothing nothing
read up to 4 in epoch 1: 01234567 01234567 01234567
the same, and set_epoch before each pass: 567 01234567 01234567
StatefulDataLoader, no worker, up to 3: 4567 4567 4567
StatefulDataLoader, one worker, up to 3: 4567 01234567 01234567
StatefulDataLoader, one persistent worker, up to 3: 4567 4567 4567
TEXT
cmp -s seen expected || { echo "no longer so: the output above is another one"; exit 1; }
