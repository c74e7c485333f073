#!/usr/bin/env bash
# peft 0.21.2 with torch 2.13.0 and transformers 5.24.0, Python 3.11 (seen 2026-11-29).
# add_weighted_adapter(..., [0.5, 0.5], combination_type="linear") is no average. It adds up the two factors of LoRA, A
# and B, each times the root of its weight, and multiplies the sums, so that A of one adapter meets B of the other, too.
# Where adapters are alike, as two checkpoints of one run, these products are as large as the rest: the average of an
# adapter with itself is twice the adapter, of N checkpoints nearly N times, without a warning. Where they have nothing in
# common, half of the result is products of strangers. The guide's example is of this kind, and issue 3004 of peft has it
# for weights of 1 and -1. "cat" gives the exact average at the sum of the ranks, "svd" the nearest of the same rank.
# Output seen (how long the result is in parts of the true average, and its cosine with that):
#   it and itself, linear: 2.00, 1.00
#   it and itself, cat: 1.00, 1.00
#   it and itself, svd: 1.00, 1.00
#   four times it, linear: 4.00, 1.00
#   four times it, cat: 1.00, 1.00
#   four times it, svd: 1.00, 1.00
#   it and a later one, linear: 2.00, 1.00
#   it and a later one, cat: 1.00, 1.00
#   it and a later one, svd: 1.00, 1.00
#   it and another, linear: 1.41, 0.69
#   it and another, cat: 1.00, 1.00
#   it and another, svd: 0.88, 0.88
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet peft==0.21.2 torch==2.13.0 transformers==5.24.0 numpy==2.3.4
cat > "$folder/average.py" <<'PYTHON'
import sys

import torch
from peft import LoraConfig, get_peft_model

torch.set_num_threads(1)
torch.manual_seed(0)
settings = LoraConfig(r=8, lora_alpha=16, target_modules=["0"], init_lora_weights=False)
model = get_peft_model(torch.nn.Sequential(torch.nn.Linear(64, 64, bias=False)), settings, adapter_name="first")
for name in ("later", "other"):
    model.add_adapter(name, settings)
layer = model.base_model.model[0]
with torch.no_grad():  # "later" is the first after a little more training, "other" has nothing to do with it
    for factors in (layer.lora_A, layer.lora_B):
        start = factors["first"].weight
        factors["later"].weight.copy_(start + 0.1 * start.std() * torch.randn_like(start))
groups = {"it and itself": ["first"] * 2, "four times it": ["first"] * 4, "it and a later one": ["first", "later"]}
groups["it and another"] = ["first", "other"]
seen = {}
for said, names in groups.items():
    average = sum(layer.get_delta_weight(name) for name in names) / len(names)
    for kind in ("linear", "cat", "svd"):
        result = f"{said}, {kind}".replace(" ", "_")
        model.add_weighted_adapter(names, [1 / len(names)] * len(names), result, combination_type=kind)
        found = layer.get_delta_weight(result)
        length = (found.norm() / average.norm()).item()
        cosine = torch.cosine_similarity(found.flatten(), average.flatten(), dim=0).item()
        seen[said, kind] = length
        print(f"{said}, {kind}: {length:.2f}, {cosine:.2f}")
expected = {"it and itself": 2.0, "four times it": 4.0, "it and a later one": 2.0}
if any(abs(seen[said, "linear"] - length) > 0.1 for said, length in expected.items()):
    sys.exit("no longer so: linear averages")
if any(abs(seen[said, "cat"] - 1) > 0.01 for said in groups):
    sys.exit("no longer so: cat is another number")
PYTHON
HF_HUB_OFFLINE=1 "$folder/env/bin/python" "$folder/average.py" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
