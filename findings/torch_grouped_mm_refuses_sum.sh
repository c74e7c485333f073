#!/usr/bin/env bash
# torch 2.13.0 (CPU build), Python 3.11 (seen 2026-11-28).
# torch.nn.functional.grouped_mm cannot be differentiated if a sum over either dimension follows it: `y.sum()`,
# `y.sum(0)`, `y.sum(1)` fail in backward, although forward works and `y.mean()` gives the right gradient. The gradient
# of a sum is one number (or row) repeated with a stride of 0; a mean happens to divide it, which makes a whole tensor.
# The gradient goes to the same kernel, which wants strides of a matrix. The message names neither. A test that checks
# gradients by `.sum().backward()` fails where a training run works. `(y * 1).sum()` avoids it.
# Output seen:
#   sum: Invalid strides/sizes, got [0, 0] for strides and [8, 32] for sizes
#   sum by columns: Invalid strides/sizes, got [0, 1] for strides and [8, 32] for sizes
#   sum by rows: Invalid strides/sizes, got [1, 0] for strides and [8, 32] for sizes
#   mean: right
#   times 1, sum: right
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 numpy==2.3.4
cat > "$folder/gradients.py" <<'PYTHON'
import torch
from torch.nn.functional import grouped_mm

torch.manual_seed(0)
rows = torch.randn(8, 16, requires_grad=True)
weights = torch.randn(2, 16, 32, requires_grad=True)
ends = torch.tensor([3, 8], dtype=torch.int32)
losses = {
    "sum": lambda y: y.sum(),
    "sum by columns": lambda y: y.sum(0).square().sum(),
    "sum by rows": lambda y: y.sum(1).square().sum(),
    "mean": lambda y: y.mean(),
    "times 1, sum": lambda y: (y * 1).sum(),
}
for name, loss in losses.items():
    loop = torch.cat([rows[:3] @ weights[0], rows[3:] @ weights[1]])
    expected = torch.autograd.grad(loss(loop), (rows, weights))
    result = loss(grouped_mm(rows, weights, offs=ends))
    try:
        found = torch.autograd.grad(result, (rows, weights))
    except RuntimeError as error:
        print(f"{name}: {error}")
    else:
        print(f"{name}:", "right" if all(map(torch.allclose, found, expected)) else "wrong")
PYTHON
"$folder/env/bin/python" "$folder/gradients.py" | tee "$folder/seen"
grep -q "^sum: Invalid strides/sizes, got \[0, 0\]" "$folder/seen"
grep -q "^sum by columns: Invalid strides/sizes, got \[0, 1\]" "$folder/seen"
grep -q "^sum by rows: Invalid strides/sizes, got \[1, 0\]" "$folder/seen"
grep -qx "mean: right" "$folder/seen"
grep -qx "times 1, sum: right" "$folder/seen"
