#!/usr/bin/env bash
# torch 2.13.0 (CPU build), Python 3.11 (seen 2026-11-29).
# AdamW keeps its states in the type of the weights. In bfloat16, with the usual beta2 of 0.999, the average of squared
# gradients cannot get smaller: 0.999 times a number rounds to that number, in the loop, with foreach and, although it
# computes in float32, with fused. So the large gradients of the first steps stay in the denominator for ever, and once
# gradients have shrunk to a hundredth, steps are some 50 times smaller than in float32, where large ones are forgotten
# after some thousand steps. The learning rate in the log is as planned, and nothing is said. transformers 5 opens a
# network in the type of its file, often bfloat16, and Trainer takes 0.999, so whoever fine-tunes such a file by default
# trains so. A beta2 of 0.99 or 0.95, or weights in float32 with autocast, forgets.
# Output seen (300 gradients of 1, then 10,000 of 0.01; the step in parts of the learning rate, at the end):
#   beta2 0.999, loop: float32 0.95, bfloat16 0.02
#   beta2 0.999, foreach: float32 0.95, bfloat16 0.02
#   beta2 0.999, fused: float32 0.95, bfloat16 0.02
#   beta2 0.99, loop: float32 1.00, bfloat16 0.61
#   beta2 0.99, foreach: float32 1.00, bfloat16 0.92
#   beta2 0.99, fused: float32 1.00, bfloat16 0.84
#   beta2 0.95, loop: float32 1.00, bfloat16 0.98
#   beta2 0.95, foreach: float32 1.00, bfloat16 0.99
#   beta2 0.95, fused: float32 1.00, bfloat16 1.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 numpy==2.3.4
cat > "$folder/steps.py" <<'PYTHON'
import sys

import torch

torch.set_num_threads(1)
ways = {"loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def step(kind: torch.dtype, beta: float, way: dict) -> float:
    """The mean over beta-corrected square root that AdamW multiplies by the learning rate; the weight itself stays."""
    weight = torch.nn.Parameter(torch.ones(16, dtype=kind))
    optimizer = torch.optim.AdamW([weight], lr=0.0, betas=(0.9, beta), weight_decay=0.0, **way)
    for count, size in ((300, 1.0), (10000, 0.01)):
        for _ in range(count):
            weight.grad = torch.full_like(weight, size)
            optimizer.step()
    state = {key: value.double() for key, value in optimizer.state[weight].items()}
    return (state["exp_avg"] / (state["exp_avg_sq"] / (1 - beta ** state["step"])).sqrt()).mean().item()


for beta in (0.999, 0.99, 0.95):
    for name, way in ways.items():
        exact, rounded = step(torch.float32, beta, way), step(torch.bfloat16, beta, way)
        print(f"beta2 {beta}, {name}: float32 {exact:.2f}, bfloat16 {rounded:.2f}", flush=True)
        if (rounded < 0.1) != (beta == 0.999) or exact < 0.7:
            sys.exit("no longer so")
PYTHON
"$folder/env/bin/python" "$folder/steps.py" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
