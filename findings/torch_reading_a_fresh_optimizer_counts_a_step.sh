#!/usr/bin/env bash
# torch 2.13.0 (CPU build), Python 3.11 (seen 2026-11-30).
# get_optimizer_state_dict and get_state_dict of torch.distributed.checkpoint read what a checkpoint needs. If the
# optimizer has made no step yet, reading makes one, with gradients and a learning rate of zero, so that there is a
# state, and leaves it there: no weight moves, but the counter of Adam and its kin says 1, and the first real step is
# corrected as the second of two. It is a quarter smaller, with RAdam half as large, and steps stay off for some hundred
# more. With weight_decay of Adam, which is part of the gradient, the averages are no longer zero either, nor is the
# momentum of SGD. So a run that writes a checkpoint before its first step, or looks at the state, is another run than
# one that does not. optimizer.state_dict() changes nothing, and so do both functions where gradients are there already.
# Reported as issue 164929 of PyTorch; torchtitan sets its counters back (its pull request 4382).
# Output seen (gradients of 1 at a learning rate of 0.1; how far a weight moves in steps 1, 2, 3 and 31):
#   AdamW, not read: 0.100, 0.100, 0.100, 0.100
#   AdamW, optimizer.state_dict: 0.100, 0.100, 0.100, 0.100
#   AdamW, get_optimizer_state_dict: 0.074, 0.086, 0.091, 0.101
#   AdamW, the same with gradients there: 0.100, 0.100, 0.100, 0.100
#   RAdam, not read: 0.100, 0.100, 0.100, 0.011
#   RAdam, optimizer.state_dict: 0.100, 0.100, 0.100, 0.011
#   RAdam, get_optimizer_state_dict: 0.053, 0.070, 0.079, 0.012
#   RAdam, the same with gradients there: 0.100, 0.100, 0.100, 0.011
#   SGD with decay, not read: 0.110, 0.208, 0.294, 0.102
#   SGD with decay, optimizer.state_dict: 0.110, 0.208, 0.294, 0.102
#   SGD with decay, get_optimizer_state_dict: 0.119, 0.216, 0.301, 0.100
#   SGD with decay, the same with gradients there: 0.110, 0.208, 0.294, 0.102
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 numpy==2.3.4
cat > "$folder/steps.py" <<'PYTHON'
import sys

import torch
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict
from torch.optim import SGD, AdamW, RAdam

torch.set_num_threads(1)


def ones(model: torch.nn.Module) -> None:
    model.weight.grad = torch.ones_like(model.weight)


def read_with_gradients(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    ones(model)
    get_optimizer_state_dict(model, optimizer)


READ = {
    "not read": lambda model, optimizer: None,
    "optimizer.state_dict": lambda model, optimizer: optimizer.state_dict(),
    "get_optimizer_state_dict": get_optimizer_state_dict,
    "the same with gradients there": read_with_gradients,
}
KINDS = {
    "AdamW": lambda weights: AdamW(weights, lr=0.1, weight_decay=0.0),
    "RAdam": lambda weights: RAdam(weights, lr=0.1),
    "SGD with decay": lambda weights: SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.1),
}


def moves(kind: str, read: str) -> list[float]:
    """How far a weight that was 1 moves in each of the first 31 steps."""
    model = torch.nn.Linear(2, 2, bias=False)
    torch.nn.init.ones_(model.weight)
    optimizer = KINDS[kind](model.parameters())
    READ[read](model, optimizer)
    if not bool((model.weight == 1).all()):
        sys.exit("no longer so: reading moves weights")
    moved = []
    for _ in range(31):
        before = model.weight[0, 0].item()
        ones(model)
        optimizer.step()
        moved.append(before - model.weight[0, 0].item())
    return moved


for kind in KINDS:
    seen = {read: moves(kind, read) for read in READ}
    for read, moved in seen.items():
        print(f"{kind}, {read}: " + ", ".join(f"{moved[step]:.3f}" for step in (0, 1, 2, 30)))
    plain = seen.pop("not read")
    first = seen.pop("get_optimizer_state_dict")[0] / plain[0]
    if any(abs(x - y) > 1e-6 for moved in seen.values() for x, y in zip(moved, plain)):
        sys.exit("no longer so: another way of reading changes the steps")
    if abs(first - {"AdamW": 0.744, "RAdam": 0.526, "SGD with decay": 1.082}[kind]) > 0.002:
        sys.exit("no longer so: the first step is another one")
PYTHON
"$folder/env/bin/python" -W ignore "$folder/steps.py"
