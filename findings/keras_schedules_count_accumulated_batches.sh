#!/usr/bin/env bash
# keras 3.15.1 with jax 0.10.2, Python 3.11 (seen 2026-12-01).
# gradient_accumulation_steps=N of a Keras optimizer makes one update of N batches. optimizer.iterations then counts
# updates, the documentation says that averages of weights count them, too, and weight decay and clipping are applied
# once an update. A learning-rate schedule is called with the number of batches. So warm-up and decay, written in
# updates, run N times as fast: a cosine over 10 updates, with N=4, is at its end after 2.5 of them, and all others
# have a rate of 0: the loss stands still and looks as if it had converged. Of each N batches the rate of the last one
# counts. No message says so. Steps of a schedule are to be multiplied by N by hand.
# Output seen (SGD, gradients of 1, CosineDecay(0.1, 10); how far a weight moves in each update):
#   no accumulation: 0.100, 0.098, 0.090, 0.079, 0.065, 0.050, 0.035, 0.021, 0.010, 0.002
#   4 batches an update: 0.079, 0.021, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000
#   4 batches an update, CosineDecay(0.1, 40): 0.099, 0.093, 0.082, 0.069, 0.054, 0.038, 0.024, 0.012, 0.004, 0.000
#   optimizer.iterations at the end: 10, 10, 10
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet keras==3.15.1 jax==0.10.2 jaxlib==0.10.2 numpy==2.3.4
cat > rates.py <<'PYTHON'
import sys

import keras
import numpy


def moves(steps: int, accumulated: int | None) -> tuple[list[float], int]:
    """How far a weight moves in each of ten updates, and what the optimizer counts."""
    schedule = keras.optimizers.schedules.CosineDecay(0.1, steps)
    optimizer = keras.optimizers.SGD(schedule, gradient_accumulation_steps=accumulated)
    weight = keras.Variable(numpy.zeros(1, "float32"))
    optimizer.build([weight])
    moved = []
    for _ in range(10):
        before = float(weight.numpy()[0])
        for _ in range(accumulated or 1):
            optimizer.apply([keras.ops.ones(1)], [weight])
        moved.append(before - float(weight.numpy()[0]))
    return moved, int(optimizer.iterations)


found = {
    "no accumulation": moves(10, None),
    "4 batches an update": moves(10, 4),
    "4 batches an update, CosineDecay(0.1, 40)": moves(40, 4),
}
for way, (moved, _) in found.items():
    print(f"{way}: " + ", ".join(f"{abs(step):.3f}" for step in moved))
counts = [count for _, count in found.values()]
print("optimizer.iterations at the end: " + ", ".join(map(str, counts)))
(plain, _), (fast, _), (longer, _) = found.values()
if counts != [10] * 3 or any(abs(a - b) > 0.02 for a, b in zip(plain, longer)):
    sys.exit("no longer so")
if abs(fast[0] - plain[3]) > 1e-4 or abs(fast[1] - plain[7]) > 1e-4 or any(abs(step) > 1e-6 for step in fast[2:]):
    sys.exit("no longer so: the schedule counts updates")
PYTHON
KERAS_BACKEND=jax JAX_PLATFORMS=cpu KERAS_HOME="$folder" env/bin/python rates.py 2> errors || { cat errors; exit 1; }
if grep -i "accumul\|schedule" errors; then echo "no longer so: something is said"; exit 1; fi
