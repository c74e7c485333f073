#!/usr/bin/env bash
# torch 2.13.0 (CPU build), Python 3.11 (seen 2026-11-28).
# Under torch.autocast on a CPU, linear, bmm and einsum compute in bfloat16; torch.nn.functional.grouped_mm, which is
# made for the same products, is on no list of autocast. With float32 rows and weights it silently stays in float32.
# With rows that an autocast linear layer made, it fails, because the weights are still float32. A mixture of experts
# that is written as a loop of linear layers trains in mixed precision; the same with grouped_mm does not, until both
# sides are cast by hand.
# Output seen:
#   linear: bfloat16
#   bmm: bfloat16
#   einsum: bfloat16
#   grouped_mm: float32
#   grouped_mm of what a linear layer made: expected m1 and m2 to have the same dtype, but got: c10::BFloat16 != float
#   grouped_mm, both cast: bfloat16
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 numpy==2.3.4
cat > "$folder/experts.py" <<'PYTHON'
import torch
from torch.nn import functional as F

ends = torch.tensor([8, 16], dtype=torch.int32)  # rows 0 to 7 go to the first expert, 8 to 15 to the second
rows, weights = torch.randn(16, 32), torch.randn(2, 32, 32)
products = {
    "linear": lambda: F.linear(rows, weights[0]),
    "bmm": lambda: torch.bmm(rows.view(2, 8, 32), weights),
    "einsum": lambda: torch.einsum("nd,de->ne", rows, weights[0]),
    "grouped_mm": lambda: F.grouped_mm(rows, weights, offs=ends),
    "grouped_mm of what a linear layer made": lambda: F.grouped_mm(F.linear(rows, weights[0]), weights, offs=ends),
    "grouped_mm, both cast": lambda: F.grouped_mm(rows.bfloat16(), weights.bfloat16(), offs=ends),
}
with torch.autocast("cpu", torch.bfloat16):
    for name, product in products.items():
        try:
            print(f"{name}: {str(product().dtype).removeprefix('torch.')}")
        except RuntimeError as error:
            print(f"{name}: {str(error).splitlines()[0]}")
PYTHON
"$folder/env/bin/python" "$folder/experts.py" | tee "$folder/seen"
for kind in linear bmm einsum "grouped_mm, both cast"; do
    grep -qx "$kind: bfloat16" "$folder/seen"
done
grep -qx "grouped_mm: float32" "$folder/seen"
grep -q "^grouped_mm of what a linear layer made: expected m1 and m2 to have the same dtype" "$folder/seen"
