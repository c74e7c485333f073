#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0, Python 3.11 (seen 2026-11-28).
# The balance loss of Mixtral, Qwen3-MoE and others (load_balancing_loss_func) puts the router's choices of all layers
# together before it counts. A layer that sends every token to expert 0 and another that sends every token to expert 1
# look balanced together: the loss is 1, its lowest value, and by layers it is 2. The Switch paper that it names
# (arXiv:2101.03961, eq. 4 to 6) has a loss for each layer. A network can have a dead expert in every layer at no cost.
# Output seen:
#   a layer that uses one of two experts: 2.0
#   two such layers, one expert each: 1.0
#   two layers that use both evenly: 1.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0
cd "$folder"
"$folder/env/bin/python" - 2> /dev/null <<'PYTHON'
import torch
from transformers.models.qwen3_moe.modeling_qwen3_moe import load_balancing_loss_func


def to_one(expert: int, tokens: int) -> torch.Tensor:
    """Logits of a router that sends all tokens to one of two experts."""
    logits = torch.full((tokens, 2), -20.0)
    logits[:, expert] = 20.0
    return logits


evenly = torch.cat([to_one(0, 32), to_one(1, 32)])
found = []
for said, layers in (
    ("a layer that uses one of two experts", (to_one(0, 64),)),
    ("two such layers, one expert each", (to_one(0, 64), to_one(1, 64))),
    ("two layers that use both evenly", (evenly, evenly)),
):
    found.append(load_balancing_loss_func(layers, num_experts=2, top_k=1).item())
    print(f"{said}: {found[-1]:.1f}")
assert [round(value, 4) for value in found] == [2, 1, 1], found
PYTHON
