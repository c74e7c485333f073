#!/usr/bin/env bash
# datasets 5.2.0, transformers 5.24.0 and accelerate 1.15.0 with torch 2.13.0, Python 3.11 (seen 2026-11-30).
# The guide of datasets splits a streamed data set by shuffle(seed=..., buffer_size=...), and then take(n) to evaluate by
# and skip(n) to train on, and advises to shuffle before. Both count in the shuffled order, and set_epoch(n) makes
# another one. So from epoch 1 on, skip leaves out other examples, and those that were held out are trained on: most of
# them in the next epoch, soon all. It is not in the user's script: Trainer calls set_epoch of the training set by
# itself, while it reads the other set in the order of epoch 0, so both look as they should. The loss by which the run
# is judged falls with every pass, and no message says why. Issue 5435 of datasets feared it. Without shuffle, or with
# shuffle behind take and skip, the two parts stay apart.
# Output seen (Trainer; which of 100 examples had been trained on at the end of each of three epochs):
#   shuffle, then take and skip: 0 of 20 held out and 80 of 80 others; 14 of 20 and 80 of 80; 20 of 20 and 80 of 80
#   take and skip, then shuffle: 0 of 20 held out and 80 of 80 others; 0 of 20 and 80 of 80; 0 of 20 and 80 of 80
#   take and skip: 0 of 20 held out and 80 of 80 others; 0 of 20 and 80 of 80; 0 of 20 and 80 of 80
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet datasets==5.2.0 transformers==5.24.0 accelerate==1.15.0 torch==2.13.0 numpy==2.3.4
cat > split.py <<'PYTHON'
import json
import sys
from collections.abc import Callable

import datasets
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

datasets.disable_progress_bars()
with open("numbers.jsonl", "w") as file:
    file.writelines(json.dumps({"x": [float(number)]}) + "\n" for number in range(100))
Stream = datasets.IterableDataset


class Network(torch.nn.Module):
    """Notes which examples it is trained on and which it is evaluated by."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = {True: set(), False: set()}

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        self.seen[self.training] |= set(x.flatten().int().tolist())
        return {"loss": (self.weight - x).square().mean()}


class Epochs(TrainerCallback):
    def __init__(self) -> None:
        self.counts = []

    def on_evaluate(self, args, state, control, model, **given) -> None:
        trained, held = model.seen[True], model.seen[False]
        assert len(held) == 20
        self.counts.append((len(trained & held), len(trained - held)))


def shuffled(data: Stream) -> Stream:
    return data.shuffle(seed=42, buffer_size=1000)


def show(name: str, split: Callable[[Stream], tuple[Stream, Stream]]) -> list[tuple[int, int]]:
    held, train = split(datasets.load_dataset("json", data_files="numbers.jsonl", split="train", streaming=True))
    settings = TrainingArguments(
        "out", per_device_train_batch_size=8, max_steps=30, eval_strategy="epoch", save_strategy="no", report_to=[],
        disable_tqdm=True, label_names=["x"], remove_unused_columns=False, use_cpu=True,
    )  # fmt: skip
    epochs = Epochs()
    Trainer(Network(), settings, train_dataset=train, eval_dataset=held, callbacks=[epochs]).train()
    (bad, good), *later = epochs.counts
    said = [f"{bad} of 20 held out and {good} of 80 others", *(f"{bad} of 20 and {good} of 80" for bad, good in later)]
    print(f"{name}:", "; ".join(said))
    return epochs.counts


def first(data: Stream) -> tuple[Stream, Stream]:
    data = shuffled(data)
    return data.take(20), data.skip(20)


leaking = show("shuffle, then take and skip", first)
apart = show("take and skip, then shuffle", lambda data: (data.take(20), shuffled(data.skip(20))))
never = show("take and skip", lambda data: (data.take(20), data.skip(20)))
if leaking[0] != (0, 80) or leaking[1][0] < 10:
    sys.exit("no longer so: what was held out stays out")
if {*apart, *never} != {(0, 80)}:
    sys.exit("no longer so: the other two leak as well")
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/python split.py 2> errors | grep -v "^{" || { cat errors; exit 1; }
