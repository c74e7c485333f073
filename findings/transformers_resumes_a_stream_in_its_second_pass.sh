#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0 (CPU build) and accelerate 1.15.0, Python 3.11 (seen 2026-12-01).
# Trainer reads a stream (a data set without length) as often as max_steps asks, and numbers the passes for set_epoch,
# by which a stream orders itself anew. On resuming it is to skip what was trained on, says ignore_data_skip. It takes
# the whole run for one pass then: it skips as many batches as there were steps, meets the end of the stream, and goes
# on at the beginning of the second pass, however many there were. So what was to come is never seen: a run that was
# interrupted in its third pass does the second once more, in the same order, and the fourth never; one that is stopped
# every night begins each day with the second pass. No message says so; the step, the learning rate and the loss look
# right, and the epoch that is logged falls back to 1. A run of one pass resumes right. A __len__ on the stream, with
# the number of its examples, avoids it, since the passes are counted then.
# In version 4 such a run ended without a step (issue 26413 of transformers; pull request 33544 is open).
# Output seen (a stream of eight, which gives 200 to 207 in its third pass; 28 steps of one example; what comes next):
#   stopped after 6: 6-7, 100-107, 200-207, 300-303; resumed: 6-7, 100-107, 200-207, 300-303, epoch 3.1
#   stopped after 12: 104-107, 200-207, 300-303; resumed: 100-107, 200-207, epoch 2.3
#   stopped after 20: 204-207, 300-303; resumed: 100-107, epoch 1.3
#   stopped after 20, with a length: 204-207, 300-303; resumed: 204-207, 300-303, epoch 3.5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet transformers==5.24.0 torch==2.13.0 accelerate==1.15.0 numpy==2.4.6
cat > stream.py <<'PYTHON'
import sys
from collections.abc import Iterator

import torch
from torch import nn
from torch.utils.data import IterableDataset
from transformers import Trainer, TrainerCallback, TrainingArguments

PASS, STEPS = 8, 28


class Stream(IterableDataset):
    """Eight numbers, which are others in each pass."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[dict[str, int]]:
        return ({"number": 100 * self.epoch + place} for place in range(PASS))


class StreamOfKnownLength(Stream):
    def __len__(self) -> int:
        return PASS


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen = []

    def forward(self, number: torch.Tensor) -> dict[str, torch.Tensor]:
        self.seen += number.tolist()
        return {"loss": self.weight.square().sum()}


class StopAfter(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **others) -> None:
        control.should_training_stop |= state.global_step == self.step


def train(stream: Stream, stop: int, resume: bool = False) -> tuple[list[int], float]:
    """The numbers that were trained on, and the epoch that was reached."""
    arguments = TrainingArguments(
        output_dir=f"{type(stream).__name__}_{stop}",
        per_device_train_batch_size=1,
        max_steps=STEPS,
        save_steps=stop,
        logging_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    network = Network()
    callbacks = [] if resume else [StopAfter(stop)]
    trainer = Trainer(network, arguments, train_dataset=stream, callbacks=callbacks)
    trainer.train(resume_from_checkpoint=resume)
    return network.seen, trainer.state.epoch


def shown(numbers: list[int]) -> str:
    starts = [place for place, number in enumerate(numbers) if place == 0 or number != numbers[place - 1] + 1]
    ends = [*(start - 1 for start in starts[1:]), len(numbers) - 1]
    return ", ".join(f"{numbers[start]}-{numbers[end]}" for start, end in zip(starts, ends, strict=True))


planned = [100 * (step // PASS) + step % PASS for step in range(STEPS)]
for name, kind, stop, skipped in (
    ("stopped after 6", Stream, 6, 6),
    ("stopped after 12", Stream, 12, 8),
    ("stopped after 20", Stream, 20, 8),
    ("stopped after 20, with a length", StreamOfKnownLength, 20, 20),
):
    first, _ = train(kind(), stop)
    rest, epoch = train(kind(), stop, resume=True)
    print(f"{name}: {shown(planned[stop:])}; resumed: {shown(rest)}, epoch {epoch:.1f}")
    if first != planned[:stop] or rest != planned[skipped : skipped + STEPS - stop]:
        sys.exit("no longer so: it goes on in another place")
PYTHON
env/bin/python stream.py 2> errors | grep -v "^{" || { cat errors; exit 1; }
