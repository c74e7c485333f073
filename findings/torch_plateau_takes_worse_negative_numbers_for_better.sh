#!/usr/bin/env bash
# torch 2.13.0 (CPU build), Python 3.11 (seen 2026-11-30).
# ReduceLROnPlateau lowers the learning rate where a metric has stopped improving. A value counts as better if it beats
# the best one by a part of it (threshold=1e-4, threshold_mode="rel"): the best one is multiplied by 1.0001, or by
# 0.9999 where less is better. If it is negative, as rewards, log-likelihoods and a loss made of them are, that moves
# the mark the wrong way, and the same value again, or a slightly worse one, counts as better and becomes the best. So
# at a stand the learning rate is never lowered, and where the metric worsens by less than 1/10,000 a time, "best"
# follows it down. The same metric with a constant added, so that it is positive, is handled as one expects. No warning
# is given; the docstring has the formula, and not what it does. Reported in 2020 as issue 47513 of PyTorch.
# threshold_mode="abs" is right for all signs.
# Output seen (the learning rate, from 1, and "best" after 60 values at a patience of 5 and a factor of 0.5):
#   max, 5 all the time: learning rate 0.00195, best 5.000
#   max, -5 all the time: learning rate 1, best -5.000
#   max, from -5 down to -5.024: learning rate 1, best -5.024
#   max, from -5 down to -5.024, abs: learning rate 0.00195, best -5.000
#   min, -5 all the time: learning rate 1, best -5.000
#   min, from -5 up to -4.976: learning rate 1, best -4.976
#   min, from -5 up to -4.976, abs: learning rate 0.00195, best -5.000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 numpy==2.3.4
cat > "$folder/plateau.py" <<'PYTHON'
import sys

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

COUNT = 60


def rate_after(mode: str, values: list[float], kind: str = "rel") -> tuple[float, float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = ReduceLROnPlateau(optimizer, mode=mode, factor=0.5, patience=5, threshold_mode=kind)
    for value in values:
        optimizer.step()
        scheduler.step(value)
    return optimizer.param_groups[0]["lr"], scheduler.best


down = [-5 - 0.0004 * number for number in range(COUNT)]
up = [-5 + 0.0004 * number for number in range(COUNT)]
for name, mode, values, kind, lowered, best in (
    ("max, 5 all the time", "max", [5.0] * COUNT, "rel", True, 5.0),
    ("max, -5 all the time", "max", [-5.0] * COUNT, "rel", False, -5.0),
    (f"max, from -5 down to {down[-1]:.3f}", "max", down, "rel", False, down[-1]),
    (f"max, from -5 down to {down[-1]:.3f}, abs", "max", down, "abs", True, -5.0),
    ("min, -5 all the time", "min", [-5.0] * COUNT, "rel", False, -5.0),
    (f"min, from -5 up to {up[-1]:.3f}", "min", up, "rel", False, up[-1]),
    (f"min, from -5 up to {up[-1]:.3f}, abs", "min", up, "abs", True, -5.0),
):
    rate, found = rate_after(mode, values, kind)
    print(f"{name}: learning rate {rate:.3g}, best {found:.3f}")
    if (rate < 0.01) != lowered or found != best:
        sys.exit("no longer so")
PYTHON
"$folder/env/bin/python" -W ignore "$folder/plateau.py"
