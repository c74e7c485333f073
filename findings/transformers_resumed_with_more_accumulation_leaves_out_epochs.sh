#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0 (CPU build) and accelerate 1.15.0, Python 3.11 (seen 2026-12-01).
# Trainer computes on resuming, from the number of steps alone and with the sizes of the new command, which epoch it is
# in and which batch comes next. So gradient_accumulation_steps that is doubled after the first epoch of four makes that
# one two: an epoch is left out, the schedule of the learning rate jumps ahead as far, and the run ends as "epoch 4.0".
# Times four, nothing is trained at all and train() returns as it does after a finished run. Halved, half an epoch comes
# a second time, or with a stop within an epoch other examples are left out. per_device_train_batch_size does the same.
# Trainer compares that one with the checkpoint and warns that the two do not match, even where the accumulation makes
# up for it and all is well; of the accumulation it keeps no record and says nothing. So keep the product of both and
# of the number of processes on resuming, or take the weights and begin another run.
# Output seen (16 examples, 4 epochs, stopped after the first; of batch size times accumulation: how often an example is
# trained on, with the first epoch; the learning rate after one more step, in parts of the highest; lines of warnings):
#   2 x 1, then 2 x 1: 4 times, 0.72, 0 lines
#   2 x 1, then 1 x 2: 4 times, 0.72, 2 lines
#   2 x 1, then 2 x 2: 3 times, 0.44, 0 lines
#   2 x 1, then 4 x 1: 3 times, 0.44, 2 lines
#   2 x 1, then 2 x 4: 1 times, not reached, 0 lines
#   2 x 2, then 2 x 1: 4 to 5 times, 0.84, 0 lines
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet transformers==5.24.0 torch==2.13.0 accelerate==1.15.0 numpy==2.4.6
cat > resume.py <<'PYTHON'
import logging
import sys
from collections import Counter

import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.utils.logging import get_logger

EXAMPLES, RATE = 16, 0.1
warnings = []


class Keep(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        warnings.extend(record.getMessage().strip().splitlines())


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen = []

    def forward(self, number: torch.Tensor) -> dict[str, torch.Tensor]:
        self.seen += number.tolist()
        return {"loss": self.weight.square().sum()}


class Watch(TrainerCallback):
    """Stops after a step, if one is given, and keeps the learning rate behind the first."""

    def __init__(self, last: int | None) -> None:
        self.last = last
        self.rates = []

    def on_step_end(self, args, state, control, lr_scheduler, **others) -> None:
        self.rates.append(lr_scheduler.get_last_lr()[0] / RATE)
        if state.global_step == self.last:
            control.should_training_stop = True


def train(folder: str, size: tuple[int, int], first: int, resume: bool) -> tuple[list[int], list[float]]:
    """The examples that were trained on, and the learning rate behind each step."""
    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=size[0],
        gradient_accumulation_steps=size[1],
        learning_rate=RATE,
        num_train_epochs=4,
        save_steps=first,
        logging_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    network, watch = Network(), Watch(None if resume else first)
    examples = [{"number": number} for number in range(EXAMPLES)]
    trainer = Trainer(network, arguments, train_dataset=examples, callbacks=[watch])
    trainer.train(resume_from_checkpoint=resume)
    if resume and trainer.state.epoch != (4 if watch.rates else 1):
        sys.exit("no longer so: another epoch is named at the end")
    return network.seen, watch.rates


get_logger("transformers").addHandler(Keep())
for before, after, times, rate, warned in (
    ((2, 1), (2, 1), (4, 4), "0.72", False),
    ((2, 1), (1, 2), (4, 4), "0.72", True),
    ((2, 1), (2, 2), (3, 3), "0.44", False),
    ((2, 1), (4, 1), (3, 3), "0.44", True),
    ((2, 1), (2, 4), (1, 1), "not reached", False),
    ((2, 2), (2, 1), (4, 5), "0.84", False),
):
    name = f"{before[0]} x {before[1]}, then {after[0]} x {after[1]}"
    steps = EXAMPLES // (before[0] * before[1])
    first, _ = train(name, before, steps, resume=False)
    warnings.clear()
    rest, rates = train(name, after, steps, resume=True)
    counts = Counter(first + rest).values()
    least, most = min(counts), max(counts)
    shown = f"{rates[0]:.2f}" if rates else "not reached"
    print(f"{name}: {least if least == most else f'{least} to {most}'} times, {shown}, {len(warnings)} lines")
    if ((least, most), shown, bool(warnings)) != (times, rate, warned):
        sys.exit("no longer so: resuming goes on in another place")
PYTHON
env/bin/python resume.py 2> errors | grep -v "^{" || { cat errors; exit 1; }
