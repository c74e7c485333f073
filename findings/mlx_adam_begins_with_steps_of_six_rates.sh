#!/usr/bin/env bash
# mlx 0.32.4 (CPU build) with mlx-lm 0.32.2, beside torch 2.13.0 (CPU build), Python 3.11 (seen 2026-11-30).
# Adam divides its averages of gradients and of their squares by what they still lack, so that the first step is about
# as long as the learning rate. Adam and AdamW of mlx leave that out unless bias_correction=True is asked for. With the
# usual betas the average of squares lacks more, so the first step is three rates long, the seventeenth six, and the
# thousandth still more than one. Adamax has no such switch, and begins with a tenth. mlx_lm.lora takes Adam so by
# default, without a warm-up, so a recipe from PyTorch trains several times as hard for the first hundreds of the 1,000
# steps that it makes by default. No message says so. In the YAML file of mlx_lm, optimizer_config with adam and
# bias_correction: true below it makes both alike. Pull request 1640 of mlx, of 2024, brought the switch.
# Output seen (a gradient that stays; steps 1, 3, 17, 100 and 1,000 in parts of the learning rate):
#   mlx, Adam: 3.2, 5.0, 6.4, 3.2, 1.3
#   mlx, as mlx_lm.lora takes it (adam): 3.2, 5.0, 6.4, 3.2, 1.3
#   mlx, Adam, bias_correction=True: 1.0, 1.0, 1.0, 1.0, 1.0
#   torch, Adam: 1.0, 1.0, 1.0, 1.0, 1.0
#   mlx, Adamax: 0.1, 0.3, 0.8, 1.0, 1.0
#   torch, Adamax: 1.0, 1.0, 1.0, 1.0, 1.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet "mlx[cpu]==0.32.4" mlx-lm==0.32.2 transformers==5.24.0 torch==2.13.0 numpy==2.3.4
cat > steps.py <<'PYTHON'
import sys

import mlx.core as mx
import mlx.optimizers as optimizers
import torch
from mlx_lm import lora

RATE, SHOWN = 1e-3, (1, 3, 17, 100, 1000)


def of_mlx(optimizer) -> list[float]:
    weights, steps = {"w": mx.zeros(1)}, []
    for number in range(1, max(SHOWN) + 1):
        before = weights["w"]
        weights = optimizer.apply_gradients({"w": mx.full(1, 0.5)}, weights)
        if number in SHOWN:
            steps.append((before - weights["w"]).item() / RATE)
    return steps


def of_torch(kind) -> list[float]:
    weight, steps = torch.nn.Parameter(torch.zeros(1)), []
    optimizer = kind([weight], lr=RATE)
    for number in range(1, max(SHOWN) + 1):
        before = weight.item()
        weight.grad = torch.full((1,), 0.5)
        optimizer.step()
        if number in SHOWN:
            steps.append((before - weight.item()) / RATE)
    return steps


torch.set_num_threads(1)
default = lora.CONFIG_DEFAULTS
settings = default["optimizer_config"][default["optimizer"]]
seen = {
    "mlx, Adam": of_mlx(optimizers.Adam(RATE)),
    f"mlx, as mlx_lm.lora takes it ({default['optimizer']})": of_mlx(optimizers.Adam(RATE, **settings)),
    "mlx, Adam, bias_correction=True": of_mlx(optimizers.Adam(RATE, bias_correction=True)),
    "torch, Adam": of_torch(torch.optim.Adam),
    "mlx, Adamax": of_mlx(optimizers.Adamax(RATE)),
    "torch, Adamax": of_torch(torch.optim.Adamax),
}
for name, steps in seen.items():
    print(f"{name}: {', '.join(f'{step:.1f}' for step in steps)}")
plain, taken, corrected, expected, adamax, _ = seen.values()
if default["optimizer"] != "adam" or plain != taken or max(plain) < 6 or plain[-1] < 1.2 or adamax[0] > 0.2:
    sys.exit("no longer so: the first steps are longer")
if any(abs(step - 1) > 0.05 for step in corrected + expected):
    sys.exit("no longer so: corrected steps are one rate long")
PYTHON
HF_HUB_OFFLINE=1 env/bin/python steps.py 2> errors || { cat errors; exit 1; }
