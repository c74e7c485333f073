#!/usr/bin/env bash
# torchmetrics 1.9.0 with torch 2.13.0 (CPU build), Python 3.11 (seen 2026-11-30).
# Perplexity of torchmetrics takes logits in half precision (since issue 2224 asked for it) and computes in it: first
# the softmax, then its logarithm, then the sum over a batch, all in the type of the logits. In float16 a token whose
# probability is below 3e-8 or so has the probability 0, and a batch whose losses add up to more than 65,504 has no sum;
# 8,192 tokens at the loss with which training begins do. Either makes the perplexity of the whole evaluation infinite,
# as if the network were broken, and nothing is said. In bfloat16 each logarithm and the sum have eight bits, so that
# the perplexity is up to some two percent off. float32 has the right numbers for the same logits, so hand over
# logits.float(), where a network has been cast by half(), bfloat16() or from_pretrained(dtype=...).
# Output seen (8 rows of 1,024 tokens, a vocabulary of 6,400; the formula, then Perplexity by the type of the logits):
#   untrained, all tokens alike: 6400.00; float32 6400.00, bfloat16 6310.69, float16 inf, float16 as float32 6400.00
#   trained: 3.15; float32 3.15, bfloat16 3.15, float16 3.15, float16 as float32 3.15
#   trained, but one token surprises: 3.15; float32 3.15, bfloat16 3.15, float16 inf, float16 as float32 3.15
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet torchmetrics==1.9.0 torch==2.13.0 numpy==2.3.4
cat > perplexity.py <<'PYTHON'
import math
import sys

import torch
from torchmetrics.text import Perplexity

targets = torch.arange(8192).reshape(8, 1024) % 6400
untrained = torch.zeros(8, 1024, 6400)
trained = untrained.scatter(2, targets[..., None], 8.0)  # a third of the probability is that of the right token
surprised = trained.clone()
surprised[0, 0, :2] = torch.tensor([-9.0, 9.0])  # 0 is right here, 1 is expected


def measured(logits: torch.Tensor) -> float:
    metric = Perplexity()
    metric.update(logits, targets)
    return metric.compute().item()


for name, logits in (
    ("untrained, all tokens alike", untrained),
    ("trained", trained),
    ("trained, but one token surprises", surprised),
):
    losses = -logits.double().log_softmax(-1).gather(2, targets[..., None])
    right = math.exp(losses.mean())
    found = {str(kind).removeprefix("torch."): measured(logits.to(kind)) for kind in (torch.float32, torch.bfloat16)}
    found |= {"float16": measured(logits.half()), "float16 as float32": measured(logits.half().float())}
    print(f"{name}: {right:.2f}; {', '.join(f'{kind} {number:.2f}' for kind, number in found.items())}")
    if math.isinf(found["float16"]) != (name != "trained"):
        sys.exit("no longer so: float16 has another perplexity")
    if any(abs(found[kind] / right - 1) > 1e-4 for kind in ("float32", "float16 as float32")):
        sys.exit("no longer so: float32 has another perplexity")
    if name.startswith("untrained") and not 0.005 < abs(found["bfloat16"] / right - 1) < 0.05:
        sys.exit("no longer so: bfloat16 has another perplexity")
PYTHON
OMP_NUM_THREADS=1 env/bin/python perplexity.py 2> errors || { cat errors; exit 1; }
