#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0 (CPU build) and accelerate 1.15.0, Python 3.11 (seen 2026-12-01).
# EarlyStoppingCallback(early_stopping_patience, early_stopping_threshold) is to end training when so many evaluations
# have not improved the metric by more than the threshold. Trainer takes every smaller loss for the best one, however
# little smaller, and the callback measures the next gain from there. So a loss that falls steadily, by a little less
# than the threshold in each evaluation, never improves at all, and training ends after patience + 1 evaluations in the
# middle of its descent. The more often one evaluates, the smaller the gains, and the sooner it ends. Measured from the
# last value that was a gain, as EarlyStopping of Keras 3.11 and of Lightning 2.5 do it, it goes on. A threshold of 0,
# which is the default, is not concerned.
# Output seen (the loss falls by the same amount in each of 40 evaluations; patience 3):
#   falls by 0.020, threshold 0.01: 40 evaluations, loss 1.200; from the last gain: 40, loss 1.200
#   falls by 0.009, threshold 0.01: 4 evaluations, loss 1.964; from the last gain: 40, loss 1.640
#   falls by 0.004, threshold 0.01: 4 evaluations, loss 1.984; from the last gain: 40, loss 1.840
#   falls by 0.009, threshold 0.00: 40 evaluations, loss 1.640; from the last gain: 40, loss 1.640
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet transformers==5.24.0 torch==2.13.0 accelerate==1.15.0 numpy==2.4.6
cat > stopping.py <<'PYTHON'
import sys

import torch
from torch import nn
from transformers import EarlyStoppingCallback, Trainer, TrainingArguments

START, EVALUATIONS, PATIENCE = 2.0, 40, 3


class Network(nn.Module):
    """Its loss is its one weight, which SGD lowers by the learning rate in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(START, dtype=torch.float64))

    def forward(self, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": self.weight, "logits": labels}


def losses_until_the_stop(gain: float, threshold: float) -> list[float]:
    arguments = TrainingArguments(
        output_dir="out",
        per_device_train_batch_size=1,
        max_steps=EVALUATIONS,
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="no",
        logging_strategy="no",
        metric_for_best_model="loss",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        max_grad_norm=0.0,
    )
    network = Network()
    optimizer = torch.optim.SGD(network.parameters(), lr=gain)
    constant = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    examples = [{"labels": place} for place in range(4)]
    trainer = Trainer(
        network,
        arguments,
        train_dataset=examples,
        eval_dataset=examples,
        optimizers=(optimizer, constant),
        callbacks=[EarlyStoppingCallback(PATIENCE, threshold)],
    )
    trainer.train()
    return [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]


def evaluations_from_the_last_gain(losses: list[float], threshold: float) -> int:
    """After how many it would stop if a gain were measured from the value of the last one that was enough."""
    best, without = float("inf"), 0
    for count, loss in enumerate(losses, 1):
        best, without = (loss, 0) if loss < best - threshold else (best, without + 1)
        if without == PATIENCE:
            return count
    return len(losses)


counts = []
for gain, threshold in ((0.02, 0.01), (0.009, 0.01), (0.004, 0.01), (0.009, 0.0)):
    losses = losses_until_the_stop(gain, threshold)
    falling = [START - gain * step for step in range(1, EVALUATIONS + 1)]
    other = evaluations_from_the_last_gain(falling, threshold)
    counts.append((len(losses), other))
    print(
        f"falls by {gain:.3f}, threshold {threshold:.2f}: {len(losses)} evaluations, loss {losses[-1]:.3f};"
        f" from the last gain: {other}, loss {falling[other - 1]:.3f}"
    )
if counts != [(40, 40), (4, 40), (4, 40), (40, 40)]:
    sys.exit("no longer so: it stops after other numbers of evaluations")
PYTHON
env/bin/python stopping.py 2> errors | grep -v "^{" || { cat errors; exit 1; }
