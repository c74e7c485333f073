#!/usr/bin/env bash
# lightning 2.6.6 with torch 2.13.0 (CPU build), Python 3.11 (seen 2026-12-01).
# ModelCheckpoint(monitor="val_loss") keeps the weights with the lowest validation loss. With every_n_train_steps it
# looks when so many steps are made, and takes the val_loss that was logged last. Where a validation comes at the same
# step (val_check_interval the same number), it looks before that. So the loss of step 20 is given to the weights of
# step 30: the file says val_loss=0, best_model_score is 0, and the weights in it are already worse ones. Where it looks
# between validations, the loss is that of earlier weights, and where it looks at each second validation, it never hears
# of the others. Without every_n_train_steps all is right: it saves when a validation ends. Version 2.6 waits for the
# validation at the last batch of an epoch, or if no val_loss was logged yet, which does not help within an epoch, and
# pretraining is often one long epoch. Issue 20185 of Lightning is open; 14431 and 20919, on the same, are closed.
# Output seen (a weight grows by 1 a step, 20 is best, and a validation comes each ten steps, in one epoch of 60):
#   every_n_train_steps=None: step=20-val_loss=0.ckpt has a loss of 0
#   every_n_train_steps=5: step=25-val_loss=0.ckpt has a loss of 5
#   every_n_train_steps=10: step=30-val_loss=0.ckpt has a loss of 10
#   every_n_train_steps=20: step=20-val_loss=10.ckpt has a loss of 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet lightning==2.6.6 torch==2.13.0 numpy==2.3.4
cat > best.py <<'PYTHON'
import logging
import sys
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

torch.set_num_threads(1)
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


class Walk(lightning.LightningModule):
    """One weight that grows by 1 in each step, and is best at 20."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, number):
        return -self.weight.sum()

    def validation_step(self, batch, number):
        self.log("val_loss", (self.weight - 20).abs().sum())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1.0)


def saved(steps: int | None) -> tuple[str, float]:
    """The name of the best checkpoint, and the loss of the weights in it."""
    best = ModelCheckpoint(
        f"every_{steps}", monitor="val_loss", every_n_train_steps=steps, filename="{step}-{val_loss:.0f}"
    )
    trainer = lightning.Trainer(
        max_steps=60, val_check_interval=10, callbacks=[best], logger=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(Walk(), DataLoader(torch.zeros(60, 1)), DataLoader(torch.zeros(1, 1)))
    weight = torch.load(best.best_model_path, weights_only=True)["state_dict"]["weight"].item()
    return Path(best.best_model_path).name, abs(weight - 20)


found = {steps: saved(steps) for steps in (None, 5, 10, 20)}
for steps, (name, loss) in found.items():
    print(f"every_n_train_steps={steps}: {name} has a loss of {loss:.0f}")
if found != {
    None: ("step=20-val_loss=0.ckpt", 0),
    5: ("step=25-val_loss=0.ckpt", 5),
    10: ("step=30-val_loss=0.ckpt", 10),
    20: ("step=20-val_loss=10.ckpt", 0),
}:
    sys.exit("no longer so")
PYTHON
env/bin/python best.py 2> errors || { cat errors; exit 1; }
if grep -i "stale\|monitor\|val_loss" errors; then echo "no longer so: something is said"; exit 1; fi
