#!/usr/bin/env bash
# torch-ema 0.3 with torch 2.13.0, Python 3.11 (seen 2026-12-01).
# An average of weights in bfloat16 stands still: at a decay of 0.999 an update is a thousandth of what separates
# network and average, less than the step to the next number. So who trains a network in bfloat16 moves the average to
# float32, with ema.to(dtype=torch.float32), and it works, until the run is resumed: load_state_dict converts what was
# saved to the type of the parameters, says a line of its source and neither the documentation nor a message, also where
# to() came before it. From then on the average is that of the interruption, however much the network learns, and it is
# what is judged and kept. Calling to() after load_state_dict mends it, but for the digits that are lost.
# Output seen (way from the average at the interruption to the weights afterwards, after 2,000 updates):
#   without an interruption: torch.float32, 0.86
#   resumed, to() before load_state_dict: torch.bfloat16, 0.00
#   resumed, to() after load_state_dict: torch.float32, 0.86
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 torch-ema==0.3 numpy==2.3.4
cd "$folder"
cat > resume.py <<'PYTHON'
import sys

import torch
from torch_ema import ExponentialMovingAverage


def way(interruption: str) -> tuple[torch.dtype, float]:
    """Train, be interrupted, go on, and return the average's type and the share of the way it has gone since."""
    torch.manual_seed(0)
    weight = torch.nn.Parameter((0.02 * torch.randn(1000)).bfloat16())
    average = ExponentialMovingAverage([weight], decay=0.999)
    average.to(dtype=torch.float32)
    for _ in range(10_000):  # long enough for its own warm-up, which ends near 9,000
        average.update()
    if interruption != "none":
        torch.save(average.state_dict(), "average.pt")
        average = ExponentialMovingAverage([weight], decay=0.999)
        if interruption == "to before":
            average.to(dtype=torch.float32)
        average.load_state_dict(torch.load("average.pt"))
        if interruption == "to after":
            average.to(dtype=torch.float32)
    start = average.shadow_params[0].clone()
    weight.data.mul_(1.5)  # what the network learns afterwards
    for _ in range(2000):
        average.update()
    gone = average.shadow_params[0]
    return gone.dtype, ((gone - start).norm() / (weight - start).norm()).item()


names = {
    "none": "without an interruption",
    "to before": "resumed, to() before load_state_dict",
    "to after": "resumed, to() after load_state_dict",
}
found = {kind: way(kind) for kind in names}
for kind, (dtype, share) in found.items():
    print(f"{names[kind]}: {dtype}, {share:.2f}")
if found["none"][1] < 0.8 or found["to after"][1] < 0.8 or found["to before"] != (torch.bfloat16, 0.0):
    sys.exit("no longer so")
PYTHON
"$folder/env/bin/python" resume.py
