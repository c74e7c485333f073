#!/usr/bin/env bash
# torch 2.13.0 (CPU build), Python 3.11 (seen 2026-12-01).
# Autocast keeps the bfloat16 copy of a weight until its outermost context is left, and looks no further: an optimizer,
# load_state_dict, or an average copied into the weights changes the weight and not the copy. Whoever puts the training
# loop into one context, or decorates the function that has it, trains a network that stays as it was: each step moves
# the weights by a gradient of the first ones, and no loss sees it. The loss differs by its batches as usual, the
# gradients have a norm, the weights move, and no message says anything; they get worse and worse, which shows when they
# are used without autocast. A context around each forward pass does not help if another lies around the loop, so a
# library that is right alone goes wrong within it. The documentation says that a context "should wrap only the forward
# pass(es)", and gives the type of the backward pass as the reason; a context of its own for each step, with backward
# pass and update, is right, too. So is cache_enabled=False. Comparing two sets of weights in one context fails as well.
# Output seen (a sum of eight numbers is learned in 100 steps; means of ten losses, and the loss of the final weights):
#   autocast around each forward pass: first 7.0, last 0.0; the weights in float32 0.0
#   autocast around each step, backward() and update included: first 7.0, last 0.0; the weights in float32 0.0
#   autocast around the loop: first 8.1, last 8.2; the weights in float32 50.3
#   autocast around the loop, and each forward pass again: first 8.1, last 8.2; the weights in float32 50.3
#   autocast around the loop, cache_enabled=False: first 7.0, last 0.0; the weights in float32 0.0
#   other weights loaded within a context: the output is that of the weights before
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 numpy==2.3.4
cat > "$folder/loop.py" <<'PYTHON'
import contextlib
import sys

import torch

torch.set_num_threads(1)


def autocast(cached: bool = True) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, cache_enabled=cached)


nothing = contextlib.nullcontext
WAYS = {  # the contexts around the loop, around each step and around each forward pass
    "each forward pass": (nothing, nothing, autocast),
    "each step, backward() and update included": (nothing, autocast, nothing),
    "the loop": (autocast, nothing, nothing),
    "the loop, and each forward pass again": (autocast, nothing, autocast),
    "the loop, cache_enabled=False": (lambda: autocast(False), nothing, nothing),
}
rows = torch.randn(6400, 8, generator=torch.Generator().manual_seed(0))
sums = rows.sum(1, keepdim=True)


def train(loop, step, forward) -> tuple[list[float], float]:
    """The losses that a log would show, and the loss of the weights at the end, without autocast."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.GELU(), torch.nn.Linear(32, 1))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    losses = []
    with loop():
        for start in range(0, len(rows), 64):
            with step():
                with forward():
                    loss = (model(rows[start : start + 64]).float() - sums[start : start + 64]).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            losses.append(loss.item())
    with torch.no_grad():
        return losses, (model(rows) - sums).square().mean().item()


for way, contexts in WAYS.items():
    losses, after = train(*contexts)
    first, last = sum(losses[:10]) / 10, sum(losses[-10:]) / 10
    print(f"autocast around {way}: first {first:.1f}, last {last:.1f}; the weights in float32 {after:.1f}")
    if way in ("the loop", "the loop, and each forward pass again"):
        if last < 0.9 * first or after < 3 * first:
            sys.exit("no longer so: something is learned")
    elif last > 0.2 or after > 0.2:
        sys.exit("no longer so: this way learns nothing, either")
one, other = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
with autocast():
    before = one(rows[:4])
    one.load_state_dict(other.state_dict())
    same = torch.equal(one(rows[:4]), before)
print(f"other weights loaded within a context: the output is that of the weights {'before' if same else 'loaded'}")
if not same:
    sys.exit("no longer so")
PYTHON
"$folder/env/bin/python" -W error "$folder/loop.py"
