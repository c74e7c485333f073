#!/usr/bin/env bash
# ema-pytorch 0.8.3 with torch 2.13.0, Python 3.11 (seen 2026-12-01).
# EMA(net) averages weights with a decay that warms up, so that the untrained ones are soon forgotten: with power=1 it
# "implements a simple average", says its docstring, and with 2/3, the default, the newest count for more. That holds if
# each step is taken in. But update_every, "to save on compute", is 10 by default, and the warm-up goes on counting
# steps: each of the ten times fewer updates has the decay of a step ten times as late, hence a tenth of the share it
# should have. The weights of step 100, at which averaging begins, keep 43 % of the "simple average" after 20,000 steps,
# where 0.005 % would be theirs; with the default power, 40 % at step 200 and 9 % at step 1,000, and runs of a small
# network are often no longer. What is then judged and kept is partly the network of the warm-up. inv_gamma=update_every
# mends it, as does update_every=1. Besides, the method forward_eval, "with no grad + eval", calls no eval(): whoever
# wraps a network in training mode judges the average with dropout.
# Output seen (share of the weights of step 100):
#   power 1, every step: 0.0099 at 200, 0.0011 at 1000, 0.0000 at 20000
#   power 1, every 10 steps: 0.7516 at 200, 0.6062 at 1000, 0.4318 at 20000
#   power 1, every 10 steps, inv_gamma 10: 0.0909 at 200, 0.0110 at 1000, 0.0005 at 20000
#   power 2/3, every step: 0.0000 at 200, 0.0000 at 1000, 0.0000 at 20000
#   power 2/3, every 10 steps: 0.3999 at 200, 0.0893 at 1000, 0.0005 at 20000
#   power 2/3, every 10 steps, inv_gamma 10: 0.0139 at 200, 0.0000 at 1000, 0.0000 at 20000
#   forward_eval with dropout: answers differ
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 ema-pytorch==0.8.3 numpy==2.3.4
cat > "$folder/average.py" <<'PYTHON'
import sys

import torch
from ema_pytorch import EMA

MOMENTS = (200, 1000, 20000)


def shares(**options) -> list[float]:
    """Share of the weights of step 100 in the average: a weight is 1 until then, and 0 from then on."""
    net = torch.nn.Linear(1, 1, bias=False)
    net.weight.data.fill_(1)
    average = EMA(net, **options)
    found = []
    for step in range(MOMENTS[-1] + 1):
        if step == 101:
            net.weight.data.zero_()
        average.update()
        if step in MOMENTS:
            found.append(average.ema_model.weight.item())
    return found


found = {}
for name, power in (("1", 1), ("2/3", 2 / 3)):
    for kind, options in (
        ("step", {"update_every": 1}),
        ("10 steps", {}),
        ("10 steps, inv_gamma 10", {"inv_gamma": 10}),
    ):
        found[name, kind] = shares(power=power, **options)
        text = ", ".join(f"{share:.4f} at {step}" for step, share in zip(MOMENTS, found[name, kind]))
        print(f"power {name}, every {kind}: {text}")
torch.manual_seed(0)
average = EMA(torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Dropout(0.5)))
numbers = torch.ones(1, 64)
differ = not torch.equal(average.forward_eval(numbers), average.forward_eval(numbers))
print(f"forward_eval with dropout: answers {'differ' if differ else 'are equal'}")
if not (
    found["1", "step"][2] < 0.001
    and found["1", "10 steps"][2] > 0.4
    and found["1", "10 steps, inv_gamma 10"][2] < 0.001
    and found["2/3", "step"][1] < 0.001
    and found["2/3", "10 steps"][1] > 0.05
    and found["2/3", "10 steps, inv_gamma 10"][1] < 0.001
    and differ
):
    sys.exit("no longer so")
PYTHON
"$folder/env/bin/python" "$folder/average.py"
