#!/usr/bin/env bash
# optimum-quanto 0.2.7 with torch 2.13.0, Python 3.11 (seen 2026-12-01).
# To compute in int8, quanto shows a network some batches and notes how large the inputs and outputs of its layers are.
# Calibration(momentum=...) says how much of what was noted each batch leaves: at 0.9, the default, about the last ten
# batches count, at 0.999 the last thousand, at 1 the first. Its documentation promises it for the scales of inputs and
# outputs. It goes to those of outputs only: for inputs, the function has a momentum of 0.9 of its own, which nothing
# sets. Where loud batches come first and quiet ones last, as in data sorted by source or length, 0.999 therefore keeps
# the range of outputs and not that of inputs: what lies beyond the last batches' range is cut off, and the network
# answers otherwise, without a word. Looking at input_scale shows it; shuffled batches hide it.
# Output seen (range of int8 after 20 batches of numbers up to 10 and 20 of numbers up to 1, in parts of the first):
#   momentum 0.5: inputs 0.21, outputs 0.10
#   momentum 0.9: inputs 0.21, outputs 0.21
#   momentum 0.999: inputs 0.21, outputs 0.98
#   momentum 1: inputs 0.21, outputs 1.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 optimum-quanto==0.2.7 numpy==2.3.4
cat > "$folder/calibrate.py" <<'PYTHON'
import sys

import torch
from optimum.quanto import Calibration, qint8, quantize

found = {}
for momentum in (0.5, 0.9, 0.999, 1):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(8, 8, bias=False))
    loud = torch.linspace(-10, 10, 64).reshape(8, 8)
    quantize(net, weights=qint8, activations=qint8)
    with Calibration(momentum=momentum):
        net(loud)
        inputs, outputs = net[0].input_scale.clone(), net[0].output_scale.clone()
        for batch in [loud] * 19 + [loud / 10] * 20:
            net(batch)
    found[momentum] = (net[0].input_scale / inputs).item(), (net[0].output_scale / outputs).item()
    print(f"momentum {momentum}: inputs {found[momentum][0]:.2f}, outputs {found[momentum][1]:.2f}")
for momentum, (inputs, outputs) in found.items():
    right = 0.1 + 0.9 * momentum**20
    if abs(inputs - 0.209) > 0.01 or abs(outputs - right) > 0.01:
        sys.exit("no longer so: momentum has another effect")
PYTHON
"$folder/env/bin/python" "$folder/calibrate.py"
