#!/usr/bin/env bash
# torch 2.13.0 (CPU build), Python 3.11 (seen 2026-11-30).
# torch.rand and rand_like draw in the type of the tensor. In bfloat16 that is a number of eight bits: one of 500 is zero,
# and none lies above 255/256. So torch.rand_like(activations) < 0.001, in a network in bfloat16, hides three of 1,000.
# Worse is Gumbel's noise, -log(-log(u)), by which one draws a token without a loop: it needs numbers near 1, which are
# not there, so a rare word can hardly win, however many rare words there are together. A network that gives a tenth to
# the tail then says its first word always. Nothing is said, and in float32 nothing is seen. bernoulli_, dropout,
# exponential_ and torch.multinomial draw right in bfloat16, and so does rand_like(..., dtype=torch.float32). randn was
# cut likewise in an older version (issue 166853 of PyTorch).
# Output seen (numbers that are zero, below 0.01, below 0.001, above 0.999; how often a word of 90 % beside 1,000 of
# 0.01 % is drawn; the last digits vary by machine):
#   float32: 0.0000, 0.0100, 0.0010, 0.0010; Gumbel's noise 0.90, exponential_ 0.90, multinomial 0.90
#   bfloat16: 0.0020, 0.0120, 0.0030, 0.0000; Gumbel's noise 1.00, exponential_ 0.90, multinomial 0.90
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile torch==2.13.0 numpy==2.4.6
cat > "$folder/draw.py" <<'PYTHON'
import sys

import torch

torch.set_num_threads(1)
torch.manual_seed(0)
found = {}


def share(chosen: torch.Tensor) -> float:
    return chosen.float().mean().item()


for dtype in (torch.float32, torch.bfloat16):
    name = str(dtype).removeprefix("torch.")
    drawn = torch.rand_like(torch.empty(1_000_000, dtype=dtype))
    rare = [share(drawn == 0), share(drawn < 0.01), share(drawn < 0.001), share(drawn.float() > 0.999)]
    words = torch.cat([torch.tensor([0.9]), torch.full((1000,), 0.0001)]).to(dtype).expand(10_000, -1)
    gumbel = share((words.log() - (-torch.rand_like(words).log()).log()).argmax(-1) == 0)
    exponential = share((words / torch.empty_like(words).exponential_()).argmax(-1) == 0)
    multinomial = share(torch.multinomial(words, 1) == 0)
    found[name] = *rare, gumbel, exponential, multinomial
    print(f"{name}: {', '.join(f'{part:.4f}' for part in rare)}; Gumbel's noise {gumbel:.2f}, ", end="")
    print(f"exponential_ {exponential:.2f}, multinomial {multinomial:.2f}")
_, _, below, above, gumbel, exponential, multinomial = found["float32"]
right = below < 0.0013 and above > 0.0007 and max(gumbel, exponential, multinomial) < 0.92
zero, _, below, above, gumbel, exponential, multinomial = found["bfloat16"]
if not right or zero < 0.001 or below < 0.002 or above > 0 or gumbel < 0.99 or max(exponential, multinomial) > 0.92:
    sys.exit("no longer so: the shares above are others")
PYTHON
"$folder/env/bin/python" "$folder/draw.py"
