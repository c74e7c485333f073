#!/usr/bin/env bash
# torch 2.13.0 (CPU build), Python 3.11 (seen 2026-12-01).
# torch.distributed.checkpoint.load reads a checkpoint into what it is given: {"model": model.state_dict(), "optimizer":
# optimizer.state_dict()}, or the two objects themselves, as its documentation does with a network. It takes from the
# file what the dictionary names already. A fresh optimizer has no averages yet, so its dictionary names none, and none
# are read: the file has them, the network is right, groups and learning rate are right, nothing is raised or said, and
# the optimizer begins at step 0. (A key that the file lacks is an error.) So after each resume the averages of Adam are
# gone, and while they come back its steps are those of a start in the middle of a run, without its warm-up. torch.save
# and torch.load of the same two dictionaries lose nothing. get_state_dict and set_state_dict of
# torch.distributed.checkpoint.state_dict make a state before loading, and are right here.
# Output seen (100 steps with gradients of 1 at a rate of 0.1, then gradients of -1; how far a weight moves):
#   not interrupted: step 100, then -0.080, -0.062, -0.046
#   torch.save, torch.load: step 100, then -0.080, -0.062, -0.046
#   dcp, state_dict() of both: step 0, then 0.100, 0.100, 0.100
#   dcp, the two objects: step 0, then 0.100, 0.100, 0.100
#   dcp, get_state_dict and set_state_dict: step 100, then -0.080, -0.062, -0.046
#   in the file, after state_dict() of both: exp_avg, exp_avg_sq, step
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 numpy==2.3.4
cat > resume.py <<'PYTHON'
import sys

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

torch.set_num_threads(1)


class Run:
    """A network, its optimizer, and the ways to write and read both."""

    def __init__(self):
        self.model = torch.nn.Linear(2, 2, bias=False)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.1, weight_decay=0.0)

    def step(self, gradient: float) -> float:
        before = self.model.weight[0, 0].item()
        self.model.weight.grad = torch.full_like(self.model.weight, gradient)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return self.model.weight[0, 0].item() - before

    def dictionaries(self) -> dict:
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def objects(self) -> dict:
        return {"model": self.model, "optimizer": self.optimizer}

    def take(self, parts: dict) -> None:
        self.model.load_state_dict(parts["model"])
        self.optimizer.load_state_dict(parts["optimizer"])

    def by_helpers(self) -> dict:
        return dict(zip(("model", "optimizer"), get_state_dict(self.model, self.optimizer)))

    def take_by_helpers(self, parts: dict) -> None:
        states = {"model_state_dict": parts["model"], "optim_state_dict": parts["optimizer"]}
        set_state_dict(self.model, self.optimizer, **states)


def resumed(way: str, written: dict, parts=None, take=None) -> Run:
    run = Run()
    dcp.save(written, checkpoint_id=way)
    given = parts(run)
    dcp.load(given, checkpoint_id=way)
    if take:
        take(run, given)
    return run


first = Run()
for _ in range(100):
    first.step(1.0)
torch.save(first.dictionaries(), "plain.pt")
plain = Run()
plain.take(torch.load("plain.pt"))
runs = {
    "torch.save, torch.load": plain,
    "dcp, state_dict() of both": resumed("states", first.dictionaries(), Run.dictionaries, Run.take),
    "dcp, the two objects": resumed("objects", first.objects(), Run.objects),
    "dcp, get_state_dict and set_state_dict": resumed(
        "helpers", first.by_helpers(), Run.by_helpers, Run.take_by_helpers
    ),
}
for way, run in runs.items():
    if not torch.equal(run.model.weight, first.model.weight):
        sys.exit(f"no longer so: {way}: other weights")
moves = {}
for way, run in {"not interrupted": first, **runs}.items():
    steps = [int(state["step"]) for state in run.optimizer.state.values()] or [0]
    moves[way] = [run.step(-1.0) for _ in range(3)]
    print(f"{way}: step {steps[0]}, then " + ", ".join(f"{moved:.3f}" for moved in moves[way]))
keys = sorted(
    key.rsplit(".", 1)[1]
    for key in dcp.FileSystemReader("states").read_metadata().state_dict_metadata
    if key.startswith("optimizer.state.")
)
print(f"in the file, after state_dict() of both: {', '.join(keys)}")
expected = moves.pop("not interrupted")
lost = ["dcp, state_dict() of both", "dcp, the two objects"]
if [way for way, moved in moves.items() if moved != expected] != lost or len(keys) != 3:
    sys.exit("no longer so")
if any(abs(moved - 0.1) > 1e-4 for way in lost for moved in moves[way]):
    sys.exit("no longer so: the steps are others")
try:
    dcp.load({"model": {"other": torch.zeros(1)}}, checkpoint_id="states")
    sys.exit("no longer so: a key that the file lacks is no error")
except dcp.api.CheckpointException:
    pass
PYTHON
env/bin/python resume.py 2> errors || { cat errors; exit 1; }
if grep -i "optimizer\|missing\|skip" errors; then echo "no longer so: something is said"; exit 1; fi
