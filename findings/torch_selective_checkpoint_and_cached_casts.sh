#!/usr/bin/env bash
# torch 2.13.0 (CPU build), Python 3.11 (seen 2026-11-28).
# Selective activation checkpointing (create_selective_checkpoint_contexts) and torch.autocast do not go together where
# a weight is used twice. Autocast keeps the bfloat16 copy of a weight until its context is left. If another forward
# pass in the same context has made the copy, the checkpointed one has nothing to cast; its repetition in the backward
# pass, which happens outside, casts, and the number of operations is no longer the same: it fails. So it does for a
# pair of answers in two forward passes, or a reference and a policy that share weights. checkpoint() without a policy
# works, and so does a policy under torch.autocast(..., cache_enabled=False).
# Output seen:
#   plain, used once: fine
#   plain, used before: fine
#   selective, used once: fine
#   selective, used before: RuntimeError: aten._to_copy.default encountered during backward but not found in storage.
#   selective, used before, without the cache: fine
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 numpy==2.3.4
cat > "$folder/casts.py" <<'PYTHON'
from functools import partial

import torch
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

layer = torch.nn.Linear(8, 8)
selective = partial(create_selective_checkpoint_contexts, [torch.ops.aten.addmm.default])


def gradients(used_before, cached, **policy):
    rows = torch.randn(4, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=cached):
        if used_before:
            layer(rows)
        loss = checkpoint(layer, rows, use_reentrant=False, **policy).sum()
    loss.backward()


for name, used_before, cached, policy in (
    ("plain, used once", False, True, {}),
    ("plain, used before", True, True, {}),
    ("selective, used once", False, True, {"context_fn": selective}),
    ("selective, used before", True, True, {"context_fn": selective}),
    ("selective, used before, without the cache", True, False, {"context_fn": selective}),
):
    try:
        gradients(used_before, cached, **policy)
        print(f"{name}: fine")
    except RuntimeError as error:
        print(f"{name}: RuntimeError: {str(error).split('. ')[0]}.")
PYTHON
"$folder/env/bin/python" "$folder/casts.py" | tee "$folder/seen"
grep -qx "plain, used once: fine" "$folder/seen"
grep -qx "plain, used before: fine" "$folder/seen"
grep -qx "selective, used once: fine" "$folder/seen"
grep -q "^selective, used before: RuntimeError: aten._to_copy.default encountered during backward" "$folder/seen"
grep -qx "selective, used before, without the cache: fine" "$folder/seen"
