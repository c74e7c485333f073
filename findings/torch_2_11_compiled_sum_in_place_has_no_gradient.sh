#!/usr/bin/env bash
# torch 2.11.0, Python 3.11 or 3.12 (seen 2026-11-29; 2.8.0, 2.9.1, 2.10.0, 2.12.0, 2.13.0 and 2.15.0 compute it right).
# A torch.autograd.Function may build its result in place: `total = zeros(()); total += part`. Without torch.compile its
# gradient is that of its `backward`. Compiled by torch 2.11, with any backend, the result still says that it needs a
# gradient, and its value is right, but every gradient is zero, without a word: a training loop runs and learns nothing.
# Written as `total = total + part` it is right. A loss that is computed in chunks is usually summed up in place.
# Output seen:
#   2.11.0
#   in place, eager: value 11.0, needs a gradient, gradient of x [2.0, 3.0]
#   in place, compiled: value 11.0, needs a gradient, gradient of x [0.0, 0.0]
#   anew, compiled: value 11.0, needs a gradient, gradient of x [2.0, 3.0]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.11.0 numpy==2.3.4
cat > "$folder/sums.py" <<'PYTHON'
import torch


def function(in_place):
    class Dot(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            total = torch.zeros(())
            for i in range(2):
                if in_place:
                    total += x[i] * w[i]
                else:
                    total = total + x[i] * w[i]
            ctx.save_for_backward(x, w)
            return total

        @staticmethod
        def backward(ctx, gradient):
            x, w = ctx.saved_tensors
            return gradient * w, gradient * x

    return Dot.apply


print(torch.__version__.partition("+")[0])
for name, call in {
    "in place, eager": function(in_place=True),
    "in place, compiled": torch.compile(function(in_place=True), backend="eager", fullgraph=True),
    "anew, compiled": torch.compile(function(in_place=False), backend="eager", fullgraph=True),
}.items():
    x, w = torch.tensor([1.0, 3.0], requires_grad=True), torch.tensor([2.0, 3.0])
    value = call(x, w)
    needs = "needs a gradient" if value.requires_grad else "needs none"
    value.backward()
    print(f"{name}: value {value.item()}, {needs}, gradient of x {x.grad.tolist()}")
PYTHON
"$folder/env/bin/python" "$folder/sums.py" | tee "$folder/seen"
grep -qx "in place, eager: value 11.0, needs a gradient, gradient of x \[2.0, 3.0\]" "$folder/seen"
grep -qx "in place, compiled: value 11.0, needs a gradient, gradient of x \[0.0, 0.0\]" "$folder/seen"
grep -qx "anew, compiled: value 11.0, needs a gradient, gradient of x \[2.0, 3.0\]" "$folder/seen"
